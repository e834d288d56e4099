-- What machine{} can build.
local m = machine{}
assert(m.present_pages <= (4 << 30) // 4096 and m.present_pages > 4095 * 256 - 256)
assert(m:kernel().name == "6.12" and m.arch == "x86_64")
assert(m.page_size == 4096 and m.pageblock_order == 9 and m.max_order == 10)
assert(#m:nodes() == 1 and #m:zones() == 3)

-- Sizes: bytes, whole floats, strings.
for _, ram in ipairs{ 64 << 20, 64.0 * 2 ^ 20, "64M", "64MiB", "0.0625G" } do
  assert(machine{ ram = ram }.present_pages == machine{ ram = "64M" }.present_pages, ram)
end

-- Nodes, CPUs spread over them, distances, zonelists.
local numa = machine{ nodes = { "256M", "128M" }, cpus = 4 }
assert(#numa:nodes() == 2)
assert(#numa:node(0).cpus == 2 and #numa:node(1).cpus == 2)
assert(numa:node(1).cpus[1] == 2)
local here = numa:alloc_pages(0)
assert(here.zone.node == numa:node(0))
local there = numa:alloc_pages(0, "GFP_KERNEL", 1)
assert(there.zone.node == numa:node(1))
numa.cpu = 3
assert(numa:alloc_pages(0).zone.node.id == 1, "a CPU looks in its own node first")
assert(numa:node(1).zonelist[1].node == numa:node(1))
local only, err = numa:alloc_pages(10, "GFP_KERNEL|__GFP_THISNODE", 1)
assert(only and only.zone.node.id == 1, tostring(err))
assert(numa:check())

local three = machine{ nodes = { "64M", "64M", "64M" },
                       distances = { { 10, 40, 20 }, { 40, 10, 20 }, { 20, 20, 10 } } }
local order = {}
for _, zone in ipairs(three:node(0).zonelist) do
  if order[#order] ~= zone.node.id then order[#order + 1] = zone.node.id end
end
assert(table.concat(order, " ") == "0 2 1", table.concat(order, " "))

-- ppc64: 64 KiB pages.
local p = machine{ arch = "ppc64", ram = "4G" }
assert(p.page_size == 65536 and p.arch == "ppc64")
assert(p:alloc_pages(0) and p:check())

-- ZONE_MOVABLE from kernelcore or movablecore, as a share or a size.
for _, option in ipairs{ { kernelcore = "50%" }, { movablecore = "512M" } } do
  option.ram = "1G"
  local split = machine(option)
  local movable = split:zone("Movable")
  assert(movable.managed * 4096 > 400 << 20, movable.managed)
  assert(split:alloc_pages(0, "GFP_HIGHUSER_MOVABLE").zone == movable)
  assert(split:alloc_pages(0, "GFP_HIGHUSER").zone ~= movable)
  assert(split:check())
end

-- Older kernels by name.
for _, kernel in ipairs(kernels()) do
  local old = machine{ ram = "64M", kernel = kernel.name }
  assert(old:kernel().name == kernel.name and old:check())
end

-- min_free_kbytes, huge pages.
assert(machine{ ram = "1G", thp = "never" }:sysctl("min_free_kbytes") == "4081")
assert(machine{ ram = "1G", min_free_kbytes = 9999 }:sysctl("min_free_kbytes"))
