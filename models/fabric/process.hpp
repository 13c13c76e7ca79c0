#pragma once

#include <coroutine>
#include <exception>
#include <utility>

namespace wb::fabric {

/// The coroutine type of PE programs and of their sub-routines. It starts when it is awaited (or, outermost, when the
/// simulator begins), resumes its caller at its end without using the stack, and passes exceptions on.
class [[nodiscard]] Process {
public:
    struct promise_type;
    using Frame = std::coroutine_handle<promise_type>;

    Process() = default;
    explicit Process(Frame frame) : frame_(frame) {}
    Process(Process&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
    Process& operator=(Process&& other) noexcept {
        std::swap(frame_, other.frame_);
        return *this;
    }
    ~Process() {
        if (frame_) frame_.destroy();
    }

    std::coroutine_handle<> handle() const { return frame_; }
    bool finished() const { return !frame_ || frame_.done(); }
    /// Throws what the finished coroutine threw.
    void rethrow() const;

    bool await_ready() const { return finished(); }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) const;
    void await_resume() const { rethrow(); }

private:
    Frame frame_;
};

struct Process::promise_type {
    struct Final {
        bool await_ready() noexcept { return false; }
        std::coroutine_handle<> await_suspend(Frame ended) noexcept {
            const std::coroutine_handle<> caller = ended.promise().caller;
            return caller ? caller : std::noop_coroutine();
        }
        void await_resume() noexcept {}
    };

    Process get_return_object() { return Process(Frame::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    Final final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { error = std::current_exception(); }

    std::coroutine_handle<> caller;
    std::exception_ptr error;
};

inline void Process::rethrow() const {
    if (frame_ && frame_.promise().error) std::rethrow_exception(frame_.promise().error);
}

inline std::coroutine_handle<> Process::await_suspend(std::coroutine_handle<> caller) const {
    frame_.promise().caller = caller;
    return frame_;
}

}  // namespace wb::fabric
