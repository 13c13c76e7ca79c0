#include "core/element.hpp"
#include "kernels/cuda/runner.hpp"

namespace wb::cuda {
namespace {

Runner embedding(const Site& site, bool backward) {
    const Stream stream = site.stream();
    const DType type = site.out(0).dtype;
    const std::int64_t offset = site.a().offset;
    if (!backward) {
        const std::int64_t tokens = elements(site.in(0).shape);
        const Matrix table = Site::matrix(site.in(1));
        return {[=](Operands p) { embed(stream, type, as<std::int32_t>(p, 0), p[1], p[2], tokens, table, offset); }};
    }
    const std::int64_t tokens = elements(site.in(1).shape);
    const Matrix table = Site::matrix(site.out(0));
    const bool accumulate = site.a().accumulate;
    const std::size_t result = site.inputs();
    Scratch* const scratch = &site.setup.scratch;
    scratch->reserve((table.rows + tokens) * static_cast<std::int64_t>(sizeof(int)));
    return {[=](Operands p) {
        embed_backward(stream, type, p[0], as<std::int32_t>(p, 1), p[result], scratch->as<int>(), tokens, table, offset,
                       accumulate);
    }};
}

Runner positions(const Site& site, bool backward) {
    const Stream stream = site.stream();
    const DType type = site.out(0).dtype;
    const Matrix shape = Site::matrix(site.in(0));
    const std::int64_t seq = site.a().seq, offset = site.a().offset, table_rows = Site::rows(site.out(0));
    if (backward)
        return {[=](Operands p) { position_embed_backward(stream, type, p[0], p[1], shape, table_rows, seq, offset); }};
    const std::int64_t* const missing = site.setup.missing;
    return {[=](Operands p) { position_embed(stream, type, p[0], p[1], p[2], shape, seq, offset, missing); }};
}

Runner rows_moved(const Site& site) {
    const Stream stream = site.stream();
    const DType type = site.out(0).dtype;
    const Attributes& a = site.a();
    const std::int64_t columns = Site::columns(site.out(0));
    if (site.op.kind == OpKind::cache_write) {
        const Matrix moved{Site::rows(site.in(1)), columns};
        const RowMove rule{a.seq, a.seq, 0, a.seq_kv, a.offset, site.setup.missing};
        return {[=](Operands p) { move_rows(stream, type, p[1], p[2], moved, rule); }};
    }
    if (site.op.kind == OpKind::last_rows) {
        const Matrix moved{Site::rows(site.out(0)), columns};
        const RowMove rule{1, a.seq, a.seq - 1, 1, 0};
        return {[=](Operands p) { move_rows(stream, type, p[0], p[1], moved, rule); }};
    }
    const Matrix moved{Site::rows(site.in(0)), columns};
    const std::int64_t bytes = elements(site.out(0).shape) * stored_bytes(type);
    const RowMove rule{1, 1, 0, a.seq, a.seq - 1};
    return {[=](Operands p) {
        set_bytes(p[1], 0, bytes, stream);
        move_rows(stream, type, p[0], p[1], moved, rule);
    }};
}

Runner heads_joined(const Site& site, bool backward) {
    const Stream stream = site.stream();
    const DType type = site.out(0).dtype;
    const std::int64_t rows = Site::rows(site.out(0)), heads = site.a().heads, d = site.a().head_dim,
                       extra = site.a().rotary_dim;
    if (backward)
        return {[=](Operands p) { concat_heads_backward(stream, type, p[0], p[1], p[2], rows, heads, d, extra); }};
    return {[=](Operands p) { concat_heads(stream, type, p[0], p[1], p[2], rows, heads, d, extra); }};
}

}  // namespace

Runner make_table(const Site& site) {
    switch (site.op.kind) {
        case OpKind::embed: return embedding(site, false);
        case OpKind::embed_backward: return embedding(site, true);
        case OpKind::position_embed: return positions(site, false);
        case OpKind::position_embed_backward: return positions(site, true);
        case OpKind::concat_heads: return heads_joined(site, false);
        case OpKind::concat_heads_backward: return heads_joined(site, true);
        default: return rows_moved(site);
    }
}

Runner make_collective(const Site& site) {
    const std::int64_t n = elements(site.in(0).shape);
    const DType type = site.in(0).dtype;
    const CollectiveKind kind = site.a().collective;
    Collectives* const collectives = &site.setup.collectives;
    const Stream stream = site.stream();
    return {[=](Operands p) { collectives->run(kind, p[0], p[1], n, type, stream); }};
}

}  // namespace wb::cuda
