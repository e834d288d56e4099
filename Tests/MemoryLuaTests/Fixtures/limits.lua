-- I14 and I9: nobody without CAP_IPC_LOCK locks more than RLIMIT_MEMLOCK, and what is refused leaves
-- nothing pinned and nothing charged.
local m = machine{ ram = "128M" }
for _, driver in ipairs{ "vfio", "rdma", "io_uring" } do
  local vm = m:guest{ ram = "4M" }
  vm:populate()
  vm:memlock("1M")
  local device = vm[driver](vm)
  local function maps(from, length) return device:map{ from = from, length = length } end
  local before = m:fork()
  local over, err = maps(0, "1028K")
  assert(not over and err.errno == "ENOMEM", driver)
  assert(#m:pins() == 0, driver)
  local whole = assert(maps(0, "1M"), driver)
  assert(not maps("1M", "4K"), driver .. " exceeds the limit")
  assert(#m:pins() == 1, driver)
  whole:unmap()
  assert(#m:pins() == 0, driver)
  -- Nothing is charged any more, neither for the refused nor for what was given back.
  assert(maps("2M", "1M"), driver):unmap()
  vm:memlock(false)
  assert(maps(0, "2M"), driver):unmap()
  assert(m:check(), driver)
  vm:exit()
end
