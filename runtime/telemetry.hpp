#pragma once

/// What an operator can see of a node: events (log), figures (metrics), and what happened when (trace).
#include "runtime/log.hpp"
#include "runtime/metrics.hpp"
#include "runtime/trace.hpp"
