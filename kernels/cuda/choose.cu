#include "kernels/cuda/kernels.hpp"
#include "kernels/cuda/launch.hpp"

namespace wb::cuda {
namespace {

constexpr int choose_threads = 256;

/// One block for each row.
template <class T>
WB_KERNEL(choose_threads)
choose_kernel(const T* logits, BestToken* best, std::int64_t columns, std::int64_t first, const std::uint64_t* keys,
              double temperature) {
    const std::int64_t row = block_x();
    BestToken mine;
    for (std::int64_t j = thread_index(); j < columns; j += choose_threads) {
        const std::int64_t id = first + j;
        double score = static_cast<double>(to_float(logits[row * columns + j]));
        if (keys) score = score / temperature - log(-log(TokenChoice::uniform(keys[row], id)));
        mine.consider(score, static_cast<double>(id));
    }
    for (int mask = 16; mask > 0; mask /= 2) {
        const double score = shuffle_xor(mine.score, mask), id = shuffle_xor(mine.id, mask);
        if (id >= 0) mine.consider(score, id);
    }
    BestToken* const of_warps = reinterpret_cast<BestToken*>(shared_memory());
    if (lane_index() == 0) of_warps[warp_index()] = mine;
    sync_block();
    if (thread_index() > 0) return;
    for (int w = 1; w < block_warps(); ++w)
        if (of_warps[w].id >= 0) mine.consider(of_warps[w].score, of_warps[w].id);
    best[row] = mine;
}

}  // namespace

void choose(Stream stream, DType type, const void* logits, BestToken* best, const Matrix& shape, std::int64_t first,
            const std::uint64_t* keys, double temperature) {
    with_type(type, [&]<class T>(T) {
        launch(stream, {shape.rows, 1, 1}, choose_threads, choose_threads / warp_threads * sizeof(BestToken),
               choose_kernel<T>, static_cast<const T*>(logits), best, shape.columns, first, keys, temperature);
    });
}

}  // namespace wb::cuda
