#include "core/gather.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "core/part.hpp"

namespace wb {
namespace {

bool before_run(Role role) { return role == Role::input || role == Role::weight || role == Role::state; }

/// One rank's values at their place in the whole: a partial sum is added.
void place(const std::vector<double>& values, const GlobalIndex& at, bool partial, std::vector<double>& to) {
    if (partial) {
        for (std::size_t i = 0; i < to.size(); ++i) to[i] += values[i];
        return;
    }
    const auto count = static_cast<std::int64_t>(values.size());
    for (std::int64_t i = 0; i < count; i += at.run)
        std::copy_n(values.begin() + i, std::min(at.run, count - i), to.begin() + at(i));
}

class Gathering {
public:
    Gathering(const Graph& whole, const Partition& part, Comm& comm, const ReadValues& read)
        : whole_(whole), part_(part), comm_(comm), read_(read) {}

    /// One instance of `whole`; nothing but on rank 0.
    std::optional<Output> instance(TensorId whole, TensorId local, std::int64_t number) const {
        const Partition::Piece& piece = part_.pieces[index(local)];
        const Tensor& all = whole_.tensor(whole);
        Output out{all.name, whole, number, all.dtype, {}};
        if (piece.layout.kind == Layout::Kind::replicated) {
            if (comm_.rank() != 0) return std::nullopt;
            out.values = read_(local, number);
            return out;
        }
        const GlobalIndex mine = global_index(part_.local.tensor(local).shape, piece, all.shape);
        const double where[] = {static_cast<double>(mine.first), static_cast<double>(mine.run),
                                static_cast<double>(mine.stride)};
        const auto places = comm_.gather(where);
        const auto parts = comm_.gather(read_(local, number));
        if (comm_.rank() != 0) return std::nullopt;
        out.values.assign(static_cast<std::size_t>(elements(all.shape)), 0.0);
        for (std::size_t r = 0; r < parts.size(); ++r)
            place(parts[r],
                  {static_cast<std::int64_t>(places[r][0]), static_cast<std::int64_t>(places[r][1]),
                   static_cast<std::int64_t>(places[r][2])},
                  piece.layout.kind == Layout::Kind::partial, out.values);
        return out;
    }

    /// All instances of `whole`, or what every rank has of its own; on rank 0.
    void tensor(TensorId whole, Outputs& out) const {
        const TensorId local = local_of(whole);
        if (part_.pieces[index(local)].layout.kind == Layout::Kind::own) {
            const Tensor& t = part_.local.tensor(local);
            const auto ranks = comm_.gather(read_(local, 0));
            for (std::size_t r = 0; r < ranks.size(); ++r)
                out.push_back({t.name, whole, static_cast<std::int64_t>(r), t.dtype, ranks[r]});
            return;
        }
        for (std::int64_t k = 0; k < whole_.instances(whole); ++k)
            if (auto one = instance(whole, local, k)) out.push_back(std::move(*one));
    }

private:
    TensorId local_of(TensorId whole) const {
        for (std::size_t i = 0; i < part_.pieces.size(); ++i)
            if (part_.pieces[i].whole == whole && part_.local.tensors()[i].role == whole_.tensor(whole).role)
                return tensor_id(i);
        contract_failed("every output of the whole graph has a part on every rank", __FILE__, __LINE__);
    }

    const Graph& whole_;
    const Partition& part_;
    Comm& comm_;
    const ReadValues& read_;
};

}  // namespace

std::optional<Outputs> gather_outputs(const Graph& whole, const Partition& part, bool with_changed, Comm& comm,
                                      const ReadValues& read) {
    std::vector<bool> wanted(whole.tensors().size(), false);
    for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = whole.tensors()[i].role == Role::output;
    for (const Op& op : whole.ops())
        for (TensorId id : op.out)
            if (with_changed && before_run(whole.tensor(id).role)) wanted[index(id)] = true;
    const Gathering gathering(whole, part, comm, read);
    Outputs out;
    for (std::size_t i = 0; i < wanted.size(); ++i)
        if (wanted[i]) gathering.tensor(tensor_id(i), out);
    if (comm.rank() != 0) return std::nullopt;
    return out;
}

}  // namespace wb
