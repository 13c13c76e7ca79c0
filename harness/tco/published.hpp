#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/tco/page.hpp"

namespace wb::tco {

/// What others publish for an hour of an owned device, beside the sum of ours without people.
struct Published {
    std::string device, preset, source, date;
    double value = 0;                                    ///< USD/h
    std::optional<double> within;                        ///< allowed relative difference: a gate
    double at_modes = 0;                                 ///< ours, all assumptions at their modes
    Spread ours;                                         ///< over the trials
    double off() const { return at_modes / value - 1; }  ///< theirs is one number, and so is this
    bool passes() const { return !within || (off() <= *within && off() >= -*within); }
};
/// tco/published.toml under the presets it names; `settings` are laid over each. Throws Error.
std::vector<Published> published_points(const Files& files, const std::vector<std::string>& with,
                                        const std::vector<std::string>& settings, const StudyOptions& options);
Page published_page(const std::vector<Published>& points);

/// A preset with overlays and settings over it, checked.
Book book_of(const Files& files, const std::string& preset, const std::vector<std::string>& with,
             const std::vector<std::string>& settings);

}  // namespace wb::tco
