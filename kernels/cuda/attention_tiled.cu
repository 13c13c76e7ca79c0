#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/launch.hpp"

namespace wb::cuda {
bool has_tiled(DType, const Attention&) { return false; }
void attention_tiled(Stream, const AttentionOperands&, const Attention&) {}
bool has_tiled_backward(DType, const Attention&) { return false; }
void attention_tiled_backward(Stream, const AttentionGradients&, const Attention&) {}
bool has_decode(DType, const Attention&) { return false; }
std::int64_t decode_splits(const Attention&, int) { return 1; }
std::int64_t decode_scratch(const Attention&, std::int64_t) { return 0; }
void attention_decode(Stream, DType, const AttentionOperands&, float*, std::int64_t, const Attention&) {}
}  // namespace wb::cuda
