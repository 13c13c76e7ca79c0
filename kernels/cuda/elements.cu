#include "kernels/cuda/kernels.hpp"
#include "kernels/cuda/launch.hpp"

namespace wb::cuda {
namespace {

WB_DEVICE std::int64_t flat_index() { return static_cast<std::int64_t>(block_x()) * flat_threads + thread_index(); }
Grid flat_grid(std::int64_t n) { return {(n + flat_threads - 1) / flat_threads, 1, 1}; }

/// An elementwise function of In arrays to Out arrays, in packs of V.
template <class T, int V, int In, int Out, class F>
struct Map {
    const T* in[In];
    T* out[Out];
    F f;
};

template <class T, int V, int In, int Out, class F>
WB_KERNEL(flat_threads)
map_kernel(std::int64_t packs, Map<T, V, In, Out, F> map) {
    const std::int64_t i = flat_index();
    if (i >= packs) return;
    Pack<T, V> x[In], y[Out];
    for (int k = 0; k < In; ++k) x[k] = load<T, V>(map.in[k], i);
    for (int v = 0; v < V; ++v) {
        float from[In], to[Out];
        for (int k = 0; k < In; ++k) from[k] = to_float(x[k].at[v]);
        map.f(from, to);
        for (int k = 0; k < Out; ++k) y[k].at[v] = from_float<T>(to[k]);
    }
    for (int k = 0; k < Out; ++k) store<T, V>(map.out[k], i, y[k]);
}

template <int In, int Out, class F>
void run_map(Stream stream, DType type, std::int64_t n, const void* const (&in)[In], void* const (&out)[Out], F f) {
    with_type(type, [&]<class T>(T) {
        const auto start = [&]<int V>(std::integral_constant<int, V>) {
            Map<T, V, In, Out, F> map{{}, {}, f};
            for (int k = 0; k < In; ++k) map.in[k] = static_cast<const T*>(in[k]);
            for (int k = 0; k < Out; ++k) map.out[k] = static_cast<T*>(out[k]);
            launch(stream, flat_grid(n / V), flat_threads, 0, map_kernel<T, V, In, Out, F>, n / V, map);
        };
        bool wide = n % widest<T> == 0;
        for (const void* p : in) wide &= reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
        for (const void* p : out) wide &= reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
        if (wide)
            start(std::integral_constant<int, widest<T>>{});
        else
            start(std::integral_constant<int, 1>{});
    });
}

WB_DEVICE float sigmoid(float x) { return 1.0F / (1.0F + expf(-x)); }

constexpr float cubic = 0.044715F, slope = 0.79788456080286536F;  // Hendrycks and Gimpel 2016: sqrt(2 / pi)

struct Add {
    WB_DEVICE void operator()(const float (&x)[2], float (&y)[1]) const { y[0] = x[0] + x[1]; }
};

struct Gelu {
    bool tanh_form;
    WB_DEVICE void operator()(const float (&x)[1], float (&y)[1]) const {
        const float inner = tanh_form ? tanhf(slope * (x[0] + cubic * x[0] * x[0] * x[0])) : erff(x[0] * 0.70710678F);
        y[0] = 0.5F * x[0] * (1.0F + inner);
    }
};

struct GeluBackward {
    bool tanh_form;
    WB_DEVICE float derivative(float x) const {
        if (!tanh_form) return 0.5F * (1.0F + erff(x * 0.70710678F)) + x * 0.39894228F * expf(-0.5F * x * x);
        const float t = tanhf(slope * (x + cubic * x * x * x));
        return 0.5F * (1.0F + t) + 0.5F * x * (1.0F - t * t) * slope * (1.0F + 3.0F * cubic * x * x);
    }
    WB_DEVICE void operator()(const float (&x)[2], float (&y)[1]) const { y[0] = x[0] * derivative(x[1]); }
};

struct SiluMul {
    WB_DEVICE void operator()(const float (&x)[2], float (&y)[1]) const { y[0] = x[0] * sigmoid(x[0]) * x[1]; }
};

struct SiluMulBackward {
    WB_DEVICE void operator()(const float (&x)[3], float (&y)[2]) const {
        const float s = sigmoid(x[1]);
        y[0] = x[0] * x[2] * s * (1.0F + x[1] * (1.0F - s));
        y[1] = x[0] * x[1] * s;
    }
};

/// What a fill stores, by type.
template <DType type>
WB_DEVICE auto stored(double value) {
    if constexpr (type == DType::f64) return value;
    if constexpr (type == DType::f32) return static_cast<float>(value);
    if constexpr (type == DType::tf32) return tf32_value(static_cast<float>(value));
    if constexpr (type == DType::bf16) return from_float<bf16>(static_cast<float>(value));
    if constexpr (type == DType::f16) return from_float<f16>(static_cast<float>(value));
    if constexpr (type == DType::fp8_e4m3) return e4m3_bits(static_cast<float>(value));
    if constexpr (type == DType::fp8_e5m2) return e5m2_bits(static_cast<float>(value));
    if constexpr (type == DType::int8) return static_cast<std::int8_t>(fmin(fmax(rint(value), -128.0), 127.0));
    if constexpr (type == DType::int32) return static_cast<std::int32_t>(rint(value));
}

template <DType type, class T>
WB_KERNEL(flat_threads)
fill_kernel(T* to, std::int64_t count, FillRule rule) {
    const std::int64_t i = flat_index();
    if (i < count) to[i] = stored<type>(fill_value(rule, i));
}

template <DType type, class T>
void start_fill(Stream stream, void* to, std::int64_t count, const FillRule& rule) {
    launch(stream, flat_grid(count), flat_threads, 0, fill_kernel<type, T>, static_cast<T*>(to), count, rule);
}

WB_KERNEL(warp_threads) begin_step_kernel(std::int64_t* step, const double* betas, float* corrections, int pairs) {
    const std::int64_t now = *step + 1;
    sync_warp();  // all have read it
    for (int i = thread_index(); i < 2 * pairs; i += warp_threads)
        corrections[i] = static_cast<float>(1.0 / (1.0 - pow(betas[i], static_cast<double>(now))));
    if (thread_index() == 0) *step = now;
}

template <class T, int V>
WB_KERNEL(flat_threads)
adamw_kernel(T* weight, const T* gradient, float* m, float* v, float* master, std::int64_t packs, Update how) {
    const std::int64_t i = flat_index();
    if (i >= packs) return;
    Pack<T, V> w = load<T, V>(weight, i);
    const Pack<T, V> g = load<T, V>(gradient, i);
    Pack<float, V> first = load<float, V>(m, i), second = load<float, V>(v, i), exact;
    if (master)
        exact = load<float, V>(master, i);
    else
        for (int k = 0; k < V; ++k) exact.at[k] = to_float(w.at[k]);
    const float of_m = how.corrections[0], of_v = how.corrections[1];
    for (int k = 0; k < V; ++k) {
        const float x = to_float(g.at[k]);
        first.at[k] = how.beta1 * first.at[k] + (1.0F - how.beta1) * x;
        second.at[k] = how.beta2 * second.at[k] + (1.0F - how.beta2) * x * x;
        const float step = first.at[k] * of_m / (sqrtf(second.at[k] * of_v) + how.eps);
        exact.at[k] -= how.rate * (step + how.decay * exact.at[k]);
        w.at[k] = from_float<T>(exact.at[k]);
    }
    store<float, V>(m, i, first);
    store<float, V>(v, i, second);
    if (master) store<float, V>(master, i, exact);
    store<T, V>(weight, i, w);
}

template <class T, int V>
WB_KERNEL(flat_threads)
rope_kernel(const T* x, const float* table, T* y, std::int64_t packs, Rotation how) {
    const std::int64_t i = flat_index();
    if (i >= packs) return;
    const std::int64_t columns = how.heads * how.head, at = i * V, row = at / columns, half = how.dim / 2;
    const std::int64_t feature = at % columns % how.head - how.offset;
    const Pack<T, V> own = load<T, V>(x, i);
    if (feature < 0 || feature >= how.dim) {
        store<T, V>(y, i, own);
        return;
    }
    const std::int64_t position = how.first + row % how.seq - (how.missing ? *how.missing : 0);
    const float* const cosine = table + position * half;
    const float* const sine = cosine + how.positions * half;
    const bool upper = feature >= half;  // of two halves
    Pack<T, V> other = own, out;
    if (!how.interleaved)
        other = load<T, V>(x + at + (upper ? -half : half), 0);
    else if (V == 1)
        other = load<T, V>(x + at + (feature % 2 == 1 ? -1 : 1), 0);
    for (int v = 0; v < V; ++v) {
        const std::int64_t f = feature + v, pair = how.interleaved ? f / 2 : f % half;
        const bool second = how.interleaved ? f % 2 == 1 : upper;
        const float partner = to_float(how.interleaved && V > 1 ? other.at[v ^ (V > 1 ? 1 : 0)] : other.at[v]);
        const float turned = to_float(own.at[v]) * cosine[pair] + (second ? partner : -partner) * sine[pair];
        out.at[v] = from_float<T>(turned);
    }
    store<T, V>(y, i, out);
}

WB_KERNEL(flat_threads)
pack_bytes_kernel(const std::uint8_t* from, Matrix shape, bool transposed, std::uint8_t* to, Matrix padded) {
    constexpr int side = 32;  // a tile through shared memory: both sides are read and written along rows
    std::uint8_t* const tile = shared_memory();
    const std::int64_t row = static_cast<std::int64_t>(block_y()) * side,
                       column = static_cast<std::int64_t>(block_x()) * side;
    const std::int64_t r0 = transposed ? column : row, c0 = transposed ? row : column;  // of `from`
    const int tx = thread_index() % side, ty = thread_index() / side;
    for (int k = ty; k < side; k += flat_threads / side) {
        const std::int64_t r = r0 + k, c = c0 + tx;
        tile[k * (side + 1) + tx] = r < shape.rows && c < shape.columns ? from[r * shape.columns + c] : std::uint8_t{0};
    }
    sync_block();
    for (int k = ty; k < side; k += flat_threads / side) {
        const std::int64_t r = row + k, c = column + tx;
        if (r < padded.rows && c < padded.columns)
            to[r * padded.columns + c] = transposed ? tile[tx * (side + 1) + k] : tile[k * (side + 1) + tx];
    }
}

template <class T>
WB_KERNEL(flat_threads)
unpack_kernel(const T* from, std::int64_t padded_columns, T* to, Matrix shape) {
    const std::int64_t i = flat_index();
    if (i < shape.size()) to[i] = from[i / shape.columns * padded_columns + i % shape.columns];
}

}  // namespace

void fill(Stream stream, DType type, void* to, std::int64_t count, const FillRule& rule) {
    switch (type) {
        case DType::f64: return start_fill<DType::f64, double>(stream, to, count, rule);
        case DType::f32: return start_fill<DType::f32, float>(stream, to, count, rule);
        case DType::tf32: return start_fill<DType::tf32, float>(stream, to, count, rule);
        case DType::bf16: return start_fill<DType::bf16, bf16>(stream, to, count, rule);
        case DType::f16: return start_fill<DType::f16, f16>(stream, to, count, rule);
        case DType::fp8_e4m3: return start_fill<DType::fp8_e4m3, std::uint8_t>(stream, to, count, rule);
        case DType::fp8_e5m2: return start_fill<DType::fp8_e5m2, std::uint8_t>(stream, to, count, rule);
        case DType::int8: return start_fill<DType::int8, std::int8_t>(stream, to, count, rule);
        case DType::int32: return start_fill<DType::int32, std::int32_t>(stream, to, count, rule);
        default: contract_failed("a type that can be filled", __FILE__, __LINE__);
    }
}

void add(Stream stream, DType type, const void* x, const void* u, void* y, std::int64_t n) {
    run_map<2, 1>(stream, type, n, {x, u}, {y}, Add{});
}
void gelu(Stream stream, DType type, const void* x, void* y, std::int64_t n, bool tanh_form) {
    run_map<1, 1>(stream, type, n, {x}, {y}, Gelu{tanh_form});
}
void gelu_backward(Stream stream, DType type, const void* dy, const void* x, void* dx, std::int64_t n, bool tanh_form) {
    run_map<2, 1>(stream, type, n, {dy, x}, {dx}, GeluBackward{tanh_form});
}
void silu_mul(Stream stream, DType type, const void* gate, const void* up, void* y, std::int64_t n) {
    run_map<2, 1>(stream, type, n, {gate, up}, {y}, SiluMul{});
}
void silu_mul_backward(Stream stream, DType type, const void* dy, const void* gate, const void* up, void* dgate,
                       void* dup, std::int64_t n) {
    run_map<3, 2>(stream, type, n, {dy, gate, up}, {dgate, dup}, SiluMulBackward{});
}

void begin_step(Stream stream, std::int64_t* step, const double* betas, float* corrections, int pairs) {
    launch(stream, {}, warp_threads, 0, begin_step_kernel, step, betas, corrections, pairs);
}

void adamw(Stream stream, DType type, void* weight, const void* gradient, float* m, float* v, float* master,
           std::int64_t n, const Update& how) {
    with_type(type, [&]<class T>(T) {
        const auto start = [&]<int V>(std::integral_constant<int, V>) {
            launch(stream, flat_grid(n / V), flat_threads, 0, adamw_kernel<T, V>, static_cast<T*>(weight),
                   static_cast<const T*>(gradient), m, v, master, n / V, how);
        };
        if (n % 4 == 0 && packs_fit<float>(n, weight, gradient, m, v, master))
            start(std::integral_constant<int, 4>{});
        else
            start(std::integral_constant<int, 1>{});
    });
}

void rope(Stream stream, DType type, const void* x, const float* table, void* y, std::int64_t rows,
          const Rotation& how) {
    with_type(type, [&]<class T>(T) {
        const std::int64_t n = rows * how.heads * how.head;
        const auto start = [&]<int V>(std::integral_constant<int, V>) {
            launch(stream, flat_grid(n / V), flat_threads, 0, rope_kernel<T, V>, static_cast<const T*>(x), table,
                   static_cast<T*>(y), n / V, how);
        };
        constexpr int wide = widest<T>;
        if (how.head % wide == 0 && how.offset % wide == 0 && how.dim % wide == 0 &&
            (how.interleaved || how.dim / 2 % wide == 0) && packs_fit<T>(n, x, y))
            start(std::integral_constant<int, wide>{});
        else
            start(std::integral_constant<int, 1>{});
    });
}

void pack_bytes(Stream stream, const void* from, Matrix shape, bool transposed, void* to, Matrix padded) {
    constexpr std::int64_t side = 32;
    launch(stream, {(padded.columns + side - 1) / side, (padded.rows + side - 1) / side, 1}, flat_threads,
           side * (side + 1), pack_bytes_kernel, static_cast<const std::uint8_t*>(from), shape, transposed,
           static_cast<std::uint8_t*>(to), padded);
}

void unpack(Stream stream, int bytes, const void* from, Matrix padded, void* to, Matrix shape) {
    const Grid grid = flat_grid(shape.size());
    if (bytes == 2)
        launch(stream, grid, flat_threads, 0, unpack_kernel<std::uint16_t>, static_cast<const std::uint16_t*>(from),
               padded.columns, static_cast<std::uint16_t*>(to), shape);
    else
        launch(stream, grid, flat_threads, 0, unpack_kernel<std::uint32_t>, static_cast<const std::uint32_t*>(from),
               padded.columns, static_cast<std::uint32_t*>(to), shape);
}

}  // namespace wb::cuda
