#include "models/fabric/arena.hpp"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace wb::fabric {

namespace {

constexpr std::size_t huge = std::size_t{2} << 20;

std::size_t alignment_of(std::size_t bytes, std::size_t alignment) { return bytes < huge ? alignment : huge; }

}  // namespace

void* HugePages::do_allocate(std::size_t bytes, std::size_t alignment) {
    void* p = ::operator new(bytes, std::align_val_t(alignment_of(bytes, alignment)));
#ifdef __linux__
    if (bytes >= huge) madvise(p, bytes / huge * huge, MADV_HUGEPAGE);  // advice: a refusal costs time only
#endif
    return p;
}

void HugePages::do_deallocate(void* p, std::size_t bytes, std::size_t alignment) {
    ::operator delete(p, bytes, std::align_val_t(alignment_of(bytes, alignment)));
}

}  // namespace wb::fabric
