// A device that runs the kernels of tests/data/templates/scale_add on the host, with made-up times, and
// misbehaves where it is told to.
#pragma once

#include <sched.h>

#include <map>
#include <memory>
#include <string>

#include "runtime/device.h"

namespace rtjit::test {

// Streams are as the runtime makes them: a launch on one that finds memory still being filled by the default
// stream fails.
//
// Part of a kernel's name -> what launching it does: "wrong", "zero", "last" (only the last element is
// wrong), "nan", "unstable" (other bits each time), "past" (writes one element too many), "fault", "refuse",
// "exit", "hang", "hang_small" (only for few elements), "slow", "tired" (a launch takes 0.2 ms of real time),
// "busy" (it takes 0.2 ms of the first processor), "delay" (it takes 0.02 ms), "us:100/104" (its made-up
// time, by moment, the last one for good), "break" (a fault after which no device opened with the same
// RTJIT_FAKE_BROKEN, the name of a file, works). RTJIT_FAKE_LOG names a file to which the kernel of each
// replayed graph and its n are appended. A moment begins with each stream that is made, as a timer does for
// itself. "@2" after what a kernel does: from the second moment on. The part "moments" is no kernel's:
// "1/1.05" are factors on all times, by moment.
using Misbehaviour = std::map<std::string, std::string>;
// "unrolled<64, 1>=hang;reference=fault"
Misbehaviour parse_misbehaviour(const std::string& text);

// The memory reads 1.25 TB/s at best and copies 1 TB/s; an iteration of any loop that only multiplies takes 1
// us.

// The first of those that this process may use.
cpu_set_t first_processor();

// Made-up microseconds of one launch; fastest for block 128, items 2.
double fake_time_us(const std::string& kernel);

std::unique_ptr<Device> make_fake_device(const std::string& target, Misbehaviour misbehaviour = {},
                                         bool emulated = false);
DeviceInfo fake_device_info(const std::string& target);

}  // namespace rtjit::test
