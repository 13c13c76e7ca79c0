#pragma once

#include <cstddef>
#include <memory_resource>
#include <new>
#include <type_traits>
#include <utility>

namespace wb::fabric {

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

    std::pmr::monotonic_buffer_resource memory_{std::size_t{1} << 16};
};

}  // namespace wb::fabric
