#include <doctest/doctest.h>

#include <algorithm>

#include "core/error.hpp"
#include "core/replicate.hpp"
#include "core/tables.hpp"

using namespace wb;

namespace {

Graph train(const char* model, std::int64_t batch) {
    return build_workload("train", {{"model", std::string(model)}, {"batch", batch}, {"seq", std::int64_t{8}}},
                          Files({std::string(WB_SOURCE_DIR) + "/configs"}));
}

}  // namespace

TEST_CASE("replicas share the work of a step and sum every gradient once") {
    for (const char* model : {"tiny-gpt2", "tiny-llama", "tiny-moe", "tiny-mla"}) {
        CAPTURE(model);
        const Graph whole = train(model, 4);
        double flops = 0;
        for (int rank = 0; rank < 2; ++rank) {
            const Partition part = replicate(whole, 2, rank);
            flops += part.local.flops().si();
            std::int64_t sums = 0, updates = 0;
            for (const Op& op : part.local.ops()) {
                sums += op.kind == OpKind::collective;
                updates += op.kind == OpKind::adamw;
            }
            CHECK(sums == updates);
            CHECK(part.local.parameters() == whole.parameters());
            for (std::size_t i = 0; i < part.local.tensors().size(); ++i)
                if (const Tensor& t = part.local.tensors()[i]; t.name == "tokens") {
                    CHECK(t.shape == Shape{16});
                    CHECK(part.pieces[i].first == 16 * rank);
                }
        }
        CHECK(flops == doctest::Approx(whole.flops().si()).epsilon(1e-12).scale(0));
    }
}

TEST_CASE("a batch that does not divide is refused") {
    CHECK_THROWS_WITH(replicate(train("tiny-gpt2", 3), 2, 0),
                      doctest::Contains("do not divide (every replica takes an equal part of the batch)"));
}
