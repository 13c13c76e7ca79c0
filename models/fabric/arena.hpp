#pragma once

#include <cstddef>
#include <memory_resource>
#include <new>
#include <type_traits>
#include <utility>

namespace wb::fabric {

/// Large pieces of memory in huge pages where the system has them: a mesh is swept over in every cycle, and small pages
/// would each need a look-up of their own.
class HugePages final : public std::pmr::memory_resource {
    void* do_allocate(std::size_t bytes, std::size_t alignment) override;
    void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override;
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

/// Memory that is freed all at once. What is made one after the other lies side by side, as a sweep over the routers
/// wants it.
class Arena {
public:
    template <class T, class... Arguments>
    T* make(Arguments&&... arguments) {
        static_assert(std::is_trivially_destructible_v<T>);
        return new (memory_.allocate(sizeof(T), line)) T(std::forward<Arguments>(arguments)...);
    }
    /// Zeroed.
    template <class T>
    T* array(std::size_t count) {
        static_assert(std::is_trivially_destructible_v<T>);
        return new (memory_.allocate(count * sizeof(T), line)) T[count]{};
    }

private:
    static constexpr std::size_t line = 64;

    HugePages pages_;
    std::pmr::monotonic_buffer_resource memory_{std::size_t{1} << 16, &pages_};
};

}  // namespace wb::fabric
