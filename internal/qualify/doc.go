// Package qualify is the acceptance suite of a device as a report: it proves op by op, sublayer by sublayer and for the demo
// model whole that what a device computes is what a program means, and says what it did not look at.
//
// What is right is what device/ref computes. How near a device must come is decided three ways (study/bug-corpus, 3):
//
//   - Inputs are chosen so that every partial sum is a float32: then any order of summation gives the same bits, and nothing
//     but equality will do. Swapped, stale, shifted and missing things are found so, and there are no false alarms.
//   - Otherwise each element has its own bound, derived from the op's definition and inputs, such as (chain + tree depth + 2) *
//     2^-24 * sum |x*w|. A violation is a defect.
//   - Selections and quantisers, given equal inputs, are equal.
//
// In the model ops are run one at a time, and the reference goes on from the device's own numbers after each: a legal
// difference costs nothing downstream, an illegal one is found where it happens. Whole-model logits are compared in wide
// only: in reference one rounding that tips over changes all that follows. Against itself a device must be equal bit by
// bit: alone or in company, in one run or in many, in a used slot or a new one.
//
// Nothing draws fresh randomness: seeds are those of the report.
package qualify
