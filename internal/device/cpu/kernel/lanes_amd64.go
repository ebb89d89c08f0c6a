package kernel

// run runs the code of a tier, and returns false where there is none: then plain Go has to do it. The calls are direct, so
// that args stay on the stack.
func (s *Set) run(c code, a *args) bool {
	switch {
	case s.Tier >= AVX512BF16 && runBF16(c, a):
		return true
	case s.Tier >= AVX512VNNI:
		return runVNNI(c, a)
	case s.Tier >= AVX2:
		return runAVX2(c, a)
	}
	return false
}

func runBF16(c code, a *args) bool {
	switch c {
	case codeFastScores:
		fastScoresBF16(a)
	case codeFastWeigh:
		fastWeighBF16(a)
	default:
		return false
	}
	return true
}

func runVNNI(c code, a *args) bool {
	switch c {
	case codeSquares:
		squaresVNNI(a)
	case codeNorm:
		normVNNI(a)
	case codeAdd:
		addVNNI(a)
	case codeSwiGLU:
		swiGLUVNNI(a)
	case codeSoftplus:
		softplusVNNI(a)
	case codeCollapse:
		collapseVNNI(a)
	case codeExpand:
		expandVNNI(a)
	case codeSinkhorn:
		sinkhornAVX2(a)
	case codeCombine:
		combineVNNI(a)
	case codeRoPE:
		ropeVNNI(a)
	case codeHadamard:
		hadamardVNNI(a)
	case codePool:
		poolVNNI(a)
	case codeSoftmax:
		softmaxVNNI(a)
	case codeToBF16:
		toBF16VNNI(a)
	case codeFakeE4M3:
		fakeE4M3VNNI(a)
	case codeQuantiseE4M3:
		quantiseE4M3VNNI(a)
	case codeFakeE2M1:
		fakeE2M1VNNI(a)
	case codeEncodeE4M3:
		encodeE4M3VNNI(a)
	case codeEncodeE2M1:
		encodeE2M1VNNI(a)
	case codeDecodeE4M3:
		decodeE4M3VNNI(a)
	case codeDecodeE2M1:
		decodeE2M1VNNI(a)
	case codeScores:
		scoresVNNI(a)
	case codeWeigh:
		weighVNNI(a)
	case codeRelevance:
		relevanceVNNI(a)
	case codeFastScores:
		fastScoresVNNI(a)
	case codeFastWeigh:
		fastWeighVNNI(a)
	case codeOffer:
		offerVNNI(a)
	case codeIndexQuery:
		indexQueryVNNI(a)
	case codeIndex:
		indexVNNI(a)
	default:
		return false
	}
	return true
}

func runAVX2(c code, a *args) bool {
	switch c {
	case codeSquares:
		squaresAVX2(a)
	case codeNorm:
		normAVX2(a)
	case codeAdd:
		addAVX2(a)
	case codeSwiGLU:
		swiGLUAVX2(a)
	case codeSoftplus:
		softplusAVX2(a)
	case codeCollapse:
		collapseAVX2(a)
	case codeExpand:
		expandAVX2(a)
	case codeSinkhorn:
		sinkhornAVX2(a)
	case codeCombine:
		combineAVX2(a)
	case codeRoPE:
		ropeAVX2(a)
	case codeHadamard:
		hadamardAVX2(a)
	case codePool:
		poolAVX2(a)
	case codeSoftmax:
		softmaxAVX2(a)
	case codeToBF16:
		toBF16AVX2(a)
	case codeFakeE4M3:
		fakeE4M3AVX2(a)
	case codeQuantiseE4M3:
		quantiseE4M3AVX2(a)
	case codeFakeE2M1:
		fakeE2M1AVX2(a)
	case codeEncodeE4M3:
		encodeE4M3AVX2(a)
	case codeEncodeE2M1:
		encodeE2M1AVX2(a)
	case codeDecodeE4M3:
		decodeE4M3AVX2(a)
	case codeDecodeE2M1:
		decodeE2M1AVX2(a)
	case codeScores:
		scoresAVX2(a)
	case codeWeigh:
		weighAVX2(a)
	case codeRelevance:
		relevanceAVX2(a)
	case codeFastScores:
		fastScoresAVX2(a)
	case codeFastWeigh:
		fastWeighAVX2(a)
	case codeOffer:
		offerAVX2(a)
	case codeIndexQuery:
		indexQueryAVX2(a)
	case codeIndex:
		indexAVX2(a)
	default:
		return false
	}
	return true
}
