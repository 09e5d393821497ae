#pragma once

#include "actors/context.hpp"

namespace troupe {

/// The disk of a run with faults: its store and its checkpoints are written as the plan wants (points "write" of the store,
/// "checkpoint" of the learner). The context must have its plan, its parts and its folder.
///   DISK-1  A write that fails with enospc or eio has happened all the same half of the times, as on a real disk.
///   DISK-2  A bit that is flipped, or an end that is cut off, is in the model's file of the checkpoint that was just written.
void add_disk_faults(const std::shared_ptr<run_context>& ctx);

/// One bit of the file is another, or it is cut off somewhere. `draw` decides which and where. Errors: io.
expected<void> damage_file(const std::filesystem::path& file, fault_kind how, std::uint64_t draw);

} // namespace troupe
