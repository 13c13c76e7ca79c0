#pragma once

#include <algorithm>
#include <barrier>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/comm.hpp"
#include "core/element.hpp"
#include "core/error.hpp"

namespace wb {

/// Ranks as threads of this process.
class Team {
public:
    explicit Team(int size)
        : size_(size),
          barrier_(size),
          in_(size),
          out_(size),
          values_(size),
          texts_(size),
          numbers_(size),
          packets_(size),
          parts_(size) {}
    int size_;
    std::barrier<> barrier_;
    std::vector<const void*> in_;
    std::vector<void*> out_;
    std::vector<std::vector<double>> values_;
    std::vector<std::string> texts_;
    std::vector<double> numbers_;
    std::vector<const std::vector<std::string>*> packets_;
    std::vector<std::shared_ptr<Team>> parts_;
};

class ThreadComm : public Comm {
public:
    ThreadComm(Team& team, int rank) : team_(team), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return team_.size_; }
    std::string library() const override { return "threads"; }
    void barrier() override { team_.barrier_.arrive_and_wait(); }

    void allreduce(const void* in, void* out, std::int64_t n, DType type) override {
        const auto* bytes = static_cast<const std::byte*>(in);
        const std::vector<std::byte> mine(bytes, bytes + n * stored_bytes(type));  // `out` may be `in`
        sum(mine.data(), out, 0, n, type);
    }
    void reduce_scatter(const void* in, void* out, std::int64_t n, DType type) override {
        sum(in, out, rank_ * n, n, type);
    }
    void allgather(const void* in, void* out, std::int64_t n, DType type) override {
        exchange(in, [&] {
            for (int r = 0; r < size(); ++r) copy(at(out, r * n, type), team_.in_[r], n, type);
        });
    }
    void alltoall(const void* in, void* out, std::int64_t n, DType type) override {
        exchange(in, [&] {
            for (int r = 0; r < size(); ++r) copy(at(out, r * n, type), at(team_.in_[r], rank_ * n, type), n, type);
        });
    }
    void broadcast(void* buffer, std::int64_t n, DType type, int root) override {
        exchange(buffer, [&] {
            if (rank_ != root) copy(buffer, team_.in_[root], n, type);
        });
    }
    void shift(const void* in, void* out, std::int64_t n, DType type) override {
        exchange(in, [&] { copy(out, team_.in_[(rank_ + size() - 1) % size()], n, type); });
    }
    double max(double value) override {
        team_.numbers_[rank_] = value;
        barrier();
        const double largest = *std::max_element(team_.numbers_.begin(), team_.numbers_.end());
        barrier();
        return largest;
    }
    std::vector<std::vector<double>> gather(std::span<const double> mine) override {
        return collect(team_.values_, std::vector<double>(mine.begin(), mine.end()));
    }
    std::vector<std::string> gather(const std::string& mine) override { return collect(team_.texts_, mine); }
    std::vector<std::string> deliver(const std::vector<std::string>& to_each) override {
        team_.packets_[rank_] = &to_each;
        barrier();
        std::vector<std::string> got;
        for (const auto* from : team_.packets_) got.push_back((*from)[rank_]);
        barrier();
        return got;
    }
    std::string share(const std::string& mine) override {
        team_.texts_[rank_] = mine;
        barrier();
        const std::string text = team_.texts_[0];
        barrier();
        return text;
    }
    std::unique_ptr<Comm> split(int colour, int key) override;
    [[noreturn]] void end_job(int code) override { std::_Exit(code); }

private:
    template <class Body>
    void exchange(const void* in, const Body& body) {
        team_.in_[rank_] = in;
        barrier();
        body();
        barrier();
    }
    template <class T>
    std::vector<T> collect(std::vector<T>& slots, T mine) {
        slots[rank_] = std::move(mine);
        barrier();
        std::vector<T> all = rank_ == 0 ? slots : std::vector<T>{};
        barrier();
        return all;
    }
    void sum(const void* in, void* out, std::int64_t first, std::int64_t n, DType type) {
        exchange(in, [&] {
            for (std::int64_t i = 0; i < n; ++i) {
                double total = 0;
                for (int r = 0; r < size(); ++r) total += decode(type, at(team_.in_[r], first + i, type));
                encode(total, type, at(out, i, type));
            }
        });
    }
    static const void* at(const void* p, std::int64_t i, DType type) {
        return static_cast<const std::byte*>(p) + i * stored_bytes(type);
    }
    static void* at(void* p, std::int64_t i, DType type) { return static_cast<std::byte*>(p) + i * stored_bytes(type); }
    static void copy(void* to, const void* from, std::int64_t n, DType type) {
        std::memcpy(to, from, static_cast<std::size_t>(n * stored_bytes(type)));
    }
    Team& team_;
    std::shared_ptr<Team> own_;  // of a part
    int rank_;
};

/// Ranks keep their order: `key` must be theirs.
inline std::unique_ptr<Comm> ThreadComm::split(int colour, int key) {
    WB_EXPECT(key == rank_);
    team_.numbers_[rank_] = colour;
    barrier();
    int before = 0, all = 0, first = -1;
    for (int r = 0; r < size(); ++r) {
        if (team_.numbers_[r] != colour) continue;
        if (first < 0) first = r;
        before += r < rank_ ? 1 : 0;
        ++all;
    }
    if (first == rank_) team_.parts_[rank_] = std::make_shared<Team>(all);
    barrier();
    auto part = std::make_unique<ThreadComm>(*team_.parts_[first], before);
    part->own_ = team_.parts_[first];
    barrier();
    return part;
}

}  // namespace wb
