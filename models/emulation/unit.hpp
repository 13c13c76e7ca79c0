#pragma once

#include <vector>

#include "models/emulation/program.hpp"

namespace wb::emulation {

/// A message on its way or in an inbox.
struct Message {
    std::int32_t source = 0, dest = 0, tag = 0;
    std::int32_t order = 0;  ///< among those of its source
    Time head = 0;           ///< when the first byte is there
    Time length = 0;         ///< from the first byte to the last, at the port of the sender
    std::int64_t bytes = 0;
    std::int32_t next = -1;   ///< in the inbox
    std::int32_t shared = 0;  ///< comes through the shared way in
};

/// A virtual unit: a clock, two ports and how far it is in the list of its stage.
struct Unit {
    Time clock = 0;
    Time out_free[2] = {0, 0}, in_free[2] = {0, 0};  ///< ports within the domain, and out of it
    Time begun = 0;                                  ///< the present step
    Time fails_at = never;
    std::int64_t offset = 0, bytes = 0;  ///< part of the buffer the present collective works on
    double slow = 1, link = 1;           ///< faults
    Group group;
    std::int32_t step = 0, round = 0;
    std::int32_t sent = 0;                                 ///< messages so far
    std::int32_t inbox = -1, inbox_end = -1;               ///< in order of arrival
    std::int32_t source = -1, tag = 0;                     ///< what it waits for
    bool waits = false, inside = false, has_sent = false;  ///< inside a collective; its message of this round is out
    bool granted = false, dead = false, done = false, watched = false;
};

/// Messages in inboxes of the units of a rank; places are used again.
class Inboxes {
public:
    Message& operator[](std::int32_t i) { return pool_[static_cast<std::size_t>(i)]; }

    std::int32_t put(const Message& m) {
        if (free_ < 0) {
            pool_.push_back(m);
            return static_cast<std::int32_t>(pool_.size()) - 1;
        }
        const std::int32_t i = free_;
        free_ = (*this)[i].next;
        (*this)[i] = m;
        return i;
    }
    void append(Unit& u, std::int32_t i) {
        (*this)[i].next = -1;
        if (u.inbox < 0)
            u.inbox = i;
        else
            (*this)[u.inbox_end].next = i;
        u.inbox_end = i;
    }
    /// The first of that source and tag, taken out of the inbox; -1 if there is none. Give it back with `release`.
    std::int32_t take(Unit& u, std::int32_t source, std::int32_t tag) {
        std::int32_t before = -1;
        for (std::int32_t i = u.inbox; i >= 0; before = i, i = (*this)[i].next) {
            const Message& m = (*this)[i];
            if (m.source != source || m.tag != tag) continue;
            (before < 0 ? u.inbox : (*this)[before].next) = m.next;
            if (u.inbox_end == i) u.inbox_end = before;
            return i;
        }
        return -1;
    }
    void release(std::int32_t i) {
        (*this)[i].next = free_;
        free_ = i;
    }
    void clear() {
        pool_.clear();
        free_ = -1;
    }
    std::size_t size() const { return pool_.size(); }
    std::size_t bytes() const { return pool_.capacity() * sizeof(Message); }

private:
    std::vector<Message> pool_;
    std::int32_t free_ = -1;
};

}  // namespace wb::emulation
