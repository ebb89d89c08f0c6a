// What all kernels share. See gen for the rules.
#pragma once
#include <immintrin.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

typedef long long Int;

// A constant that gcc must build in a register: it would put it into memory otherwise, where a relocation points.
#define CONST_I32(v) __extension__({ int32_t k_ = (v); __asm__("" : "+r"(k_)); k_; })
#define CONST_I64(v) __extension__({ int64_t k_ = (v); __asm__("" : "+r"(k_)); k_; })
#define CONST_F32(v) __extension__({ union { float f; int32_t i; } k_ = {(v)}; __asm__("" : "+r"(k_.i)); k_.f; })

INLINE int32_t load32(const void *p) { return *(const int32_t *)p; }
