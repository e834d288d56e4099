-- S1.17 · a few megabytes
-- "The scatter list for 300 GB is a few meg." And a list of page pointers?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Daniel Jordan, 8 December (#22): "only a few meg, not bad at all", and Jason Gunthorpe (#23): "Yes,
-- but 0 is still better".
-- Rules: P7.50 to P7.52.

-- A sample of 1 GiB in 2 MiB pages, one segment each; 300 GiB are 300 times as much.
local m = machine{ ram = "4G" }
local vm = m:guest{ ram = "1G" }
vm:populate()
local p = vm:pin{ longterm = true, fast = true }
local bytes = {}
for i = 1, 6 do
  local size = p:sizes{ max_segment = "2M" }[i]
  bytes[size.format] = size.bytes
  print(("%-8s %8d records %10d bytes, for 300 GiB %12d"):format(
    size.format, size.records, size.bytes, size.bytes * 300))
end
expect("page pointers for 300 GiB", bytes.pages * 300, 600 << 20)
expect("a scatter list of 2 MiB segments", bytes.sg * 300, 153600 * 32)
expect("frames with flags", bytes.pfn * 300, 600 << 20)
for _, size in ipairs(p:sizes{ max_segment = "64K" }) do
  if size.format == "sg" then expect("a scatter list of 64 KiB segments", size.bytes * 300, 150 << 20) end
end
