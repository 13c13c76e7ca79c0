#include "kernels/cpu/openblas.hpp"

#include <dlfcn.h>
#include <omp.h>

#include <cstdlib>
#include <optional>

#include "core/error.hpp"

namespace wb::cpu {

namespace {

constexpr const char* core_type_variable = "OPENBLAS_CORETYPE";
constexpr const char* own_variable = "WB_OPENBLAS_CORETYPE";
constexpr int row_major = 101;

int transposed(bool yes) { return yes ? 112 : 111; }

/// Sets OPENBLAS_CORETYPE while the library is being loaded; children do not inherit it. What an environment sets for
/// all its programs, often the oldest of its machines, does not count: a comparison needs the fastest kernels.
class CoreTypeScope {
public:
    CoreTypeScope() {
        const std::string type = openblas_core_type();
        if (type.empty()) return;
        if (const char* before = std::getenv(core_type_variable)) before_ = before;
        set_ = setenv(core_type_variable, type.c_str(), 1) == 0;
    }
    ~CoreTypeScope() {
        if (set_ && before_)
            setenv(core_type_variable, before_->c_str(), 1);
        else if (set_)
            unsetenv(core_type_variable);
    }
    CoreTypeScope(const CoreTypeScope&) = delete;
    CoreTypeScope& operator=(const CoreTypeScope&) = delete;

private:
    bool set_ = false;
    std::optional<std::string> before_;
};

[[noreturn]] void refuse(const std::string& problem) {
    throw Error({"OpenBLAS", problem, "float64 products need it; float32 and bfloat16 ones do not",
                 "Install OpenBLAS (Debian: libopenblas0-openmp), or name its folder in LD_LIBRARY_PATH."},
                Exit::environment);
}

template <class F>
F symbol(void* library, const char* name) {
    void* found = dlsym(library, name);
    if (found == nullptr) refuse(std::string("the library has no function ") + name);
    return reinterpret_cast<F>(found);
}

/// "OpenBLAS 0.3.21 NO_LAPACKE ..." -> "0.3.21".
std::string version_of(const std::string& config) {
    const auto start = config.find_first_of("0123456789");
    if (start == std::string::npos) return "of unknown version";
    return config.substr(start, config.find(' ', start) - start);
}

}  // namespace

std::string openblas_core_type() {
    if (const char* own = std::getenv(own_variable)) return own;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return "SkylakeX";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
    return "";
}

OpenBlas::OpenBlas() {
    void* library = nullptr;
    {
        const CoreTypeScope scope;
        library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) library = dlopen("libopenblas.so", RTLD_NOW | RTLD_LOCAL);
    }
    if (library == nullptr) {
        const char* reason = dlerror();
        refuse(std::string("cannot be loaded: ") + (reason ? reason : "no reason given"));
    }
    dgemm_ = symbol<Gemm<double>>(library, "cblas_dgemm");
    sgemm_ = symbol<Gemm<float>>(library, "cblas_sgemm");
    set_threads_ = symbol<void (*)(int)>(library, "openblas_set_num_threads");
    const std::string config = symbol<char* (*)()>(library, "openblas_get_config")();
    name_ = "OpenBLAS " + version_of(config) + " " + symbol<char* (*)()>(library, "openblas_get_corename")();
}

const OpenBlas& OpenBlas::instance() {
    static const OpenBlas library;
    return library;
}

bool OpenBlas::available() noexcept {
    try {
        instance();
        return true;
    } catch (const std::exception&) {
        return false;
    }
}

namespace {

template <class T, class F>
void call(F gemm, const BlasProduct<T>& p) {
    gemm(row_major, transposed(p.trans_a), transposed(p.trans_b), static_cast<int>(p.m), static_cast<int>(p.n),
         static_cast<int>(p.k), T{1}, p.a, static_cast<int>(p.lda), p.b, static_cast<int>(p.ldb), p.beta, p.c,
         static_cast<int>(p.ldc));
}

/// openblas_set_num_threads of an OpenMP build also calls omp_set_num_threads: put that back.
template <class T, class F>
void call_with_threads(F gemm, void (*set_threads)(int), const BlasProduct<T>& p, int threads) {
    const int before = omp_get_max_threads();
    set_threads(threads);
    call(gemm, p);
    omp_set_num_threads(before);
}

}  // namespace

void OpenBlas::gemm(const BlasProduct<double>& p, int threads) const {
    call_with_threads(dgemm_, set_threads_, p, threads);
}
void OpenBlas::gemm(const BlasProduct<float>& p, int threads) const {
    call_with_threads(sgemm_, set_threads_, p, threads);
}
void OpenBlas::gemm_serial(const BlasProduct<double>& p) const { call(dgemm_, p); }
void OpenBlas::gemm_serial(const BlasProduct<float>& p) const { call(sgemm_, p); }

}  // namespace wb::cpu
