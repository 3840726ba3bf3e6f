// A tuning process for tests: scale_add on the fake device, into a database.
#pragma once

#include <string>

#include "tuner/session.h"

namespace rtjit::test {

// What it tunes: two buckets, ten configs of each, four samples.
TuneRequest fake_device_request(std::shared_ptr<const Template> tmpl, const std::string& misbehaviour,
                                const std::string& strategy = "model", int passes = 0);

// The exit status of the process: 0 finished, 130 stopped by SIGINT or SIGTERM, 1 failed.
int tune_once(const std::string& database, const std::string& misbehaviour, const std::string& strategy,
              int passes);

}  // namespace rtjit::test
