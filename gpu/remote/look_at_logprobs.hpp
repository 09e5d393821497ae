#pragma once

#include "gpu/remote/server_dialect.hpp"

namespace troupe::remote {

/// Questions that show what a server's logprobs are of (REM-7): that they are logprobs and no logits, and, for a run that samples at another
/// temperature than 0 and 1, that they follow the temperature. The likeliest token of one prompt is looked at, at temperature 1 and at 4: logprobs of
/// the distribution before the temperature stay, those of the one that is sampled change. Answers are to be read in order. None where the
/// dialect leaves no doubt. Errors of reading: invalid.
std::vector<control_step> look_at_logprobs(const server_dialect& speech, int vocabulary, double temperature,
                                           const std::string& model, const std::string& id);

} // namespace troupe::remote
