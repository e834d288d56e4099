-- S0.3 · pointers, then addresses
-- The hypervisor call runs in real mode, where a page pointer cannot be turned into a frame number. What
-- does it read?
-- Thread: linuxppc-dev, 2018, "get_user_pages_cma_migrate".
-- Rules: P7.40, P7.42.

local m = machine{ ram = "256M", thp = "never" }
local vm = m:guest{ ram = "1M" }
local container = vm:spapr()
local region = container:map{ length = "12K" }
expect("bytes of its slots", region.bytes, 24)
expect("entry 1, offset 0x123", region:lookup(0x1123), region.pin.pfns[2] << 12 | 0x123)
local _, err = region:lookup("12K")
expect("behind its end", err.errno, "EFAULT")
local again = container:map{ length = "12K" }
expect("the same region again is one more user", again.users, 2)
expect("the first to leave gives nothing back", again:unmap().size, 0)
expect("the last one all", region:unmap().size, 12 << 10)
expect("pages that are still counted", vm.locked_pages, 0)
