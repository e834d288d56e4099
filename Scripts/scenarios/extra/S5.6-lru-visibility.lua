-- S5.6 · when a page is on the LRU list
-- A page that was just touched cannot be isolated, because it waits in a batch. For how long?
-- Thread: Linux 6.12 itself; a recorded kernel did the same.
-- Rules: P1.20 to P1.24, P1.30.

for _, case in ipairs{ { 30, 0 }, { 31, 31 }, { 61, 31 }, { 62, 62 } } do
  local touched, visible = table.unpack(case)
  local m = machine{ ram = "256M" }
  local vm = m:guest{ ram = "1M" }
  vm:touch(0, touched * 4096)
  expect("on the list after " .. touched .. " pages", m:lru().lists[1].active_anon, visible)
  if visible < touched then
    print(m:lru())
    local isolated, err = m:isolate(vm:page((touched - 1) * 4096))
    print(isolated, err)
    expect("the last cannot be isolated", err.errno, "EBUSY")
    m:drain_lru()
    expect("after a drain all are there", m:lru().lists[1].active_anon, touched)
  end
end
