---@meta pinlab

---A modelled machine: nodes, zones, per-CPU lists, and the pages in them.
---@class machine
---@field kernel string The kernel whose rules apply.
---@field arch string x86_64 or ppc64.
---@field page_size integer Bytes in a page.
---@field pageblock_order integer Pages of a pageblock, as an order.
---@field max_order integer The order of the largest free block.
---@field present_pages integer Pages of memory, reserved ones included.
---@field free integer Pages on the buddy lists, exactly.
---@field cpus integer The number of CPUs.
---@field cpu integer The CPU that runs the next operation.
---@field kswapd_wakeups integer How often kswapd would have been woken. It does not run in this version.
---@field fail_allocation integer The n-th allocation from now on fails, once; 0 is off. For trying error paths.
local machine = {}

---Allocates a block of 2^order pages.
---
---Reclaim and compaction do not run in this version: a request that would enter them fails as with __GFP_NORETRY, and the error says so.
---@param order? integer log2 of the number of pages.
---@param gfp? string|string[] Names of flags, joined by |.
---@param node? integer Where to look first.
---@param pin_scope? boolean Ask as a task that pins for long, PF_MEMALLOC_PIN: the request loses __GFP_MOVABLE.
---@return page? # The first page of the block.
function machine:alloc_pages(order, gfp, node, pin_scope) end

---Gives a block back to this CPU's lists, from which it reaches the buddy in time.
---@param page any A page of alloc_pages, or its pfn.
---@param order? integer Must be the block's own order.
function machine:free_pages(page, order) end

---Returns the pages on all CPUs' lists to the buddy.
---@param zone? zone 
function machine:drain(zone) end

---Moves the CPUs' pending counter differences into the global counters, as an idle CPU does.
---
---Watermark tests read the global counters only, so a fold can change what the next request gets.
---@param cpu? integer 
function machine:fold(cpu) end

---Lets seconds pass: on every CPU the statistics worker folds the counters and lets the high marks of the per-CPU lists decay.
---@param seconds? integer 
function machine:tick(seconds) end

---@class machine.hugepages.fields
---@field count? integer Pages that the pool shall have: what is written to nr_hugepages.
---@field size? integer|number|string Which pool: 2M or 1G on x86_64, 16M or 16G on ppc64.
---@field node? integer Set or read the part of the pool on this node; without it, nodes take turns.
---@field overcommit? integer Surplus pages that may exist: what is written to nr_overcommit_hugepages.

---Sets the size of a pool of huge pages, or only reads it.
---
---As in the kernel, the write succeeds when there are too few free blocks: see what nr says. Blocks in use stay; they become surplus, and leave the pool when they are returned. No block is made by reclaim or compaction in this version, and so there are no gigantic pages.
---@param fields? machine.hugepages.fields
---@return table? # nr, free, reserved, surplus, max and overcommit, in huge pages, and size in bytes; nr, free and surplus of the node if one is given.
function machine:hugepages(fields) end

---/proc/meminfo, the lines that the model can tell: memory, CMA and huge pages.
---@return string # Lines of the file, byte for byte.
function machine:meminfo() end

---A CMA area by its name.
---@param name? string 
---@return cma_area # 
function machine:cma(name) end

---All CMA areas.
---@return table # The CMA areas, as they were declared at boot.
function machine:cma_areas() end

---Takes neighbouring pages out of a CMA area.
---
---Migration does not run in this version: a page in use in the way makes the call try the next candidate, as a page that cannot move does.
---@param size any Pages, or a size such as "1M".
---@param options? table area: a name, the first one unless given. align: log2 of what the first pfn is a multiple of, 0 unless given. no_warn: do not log a failure.
---@return cma_buffer? # The pages.
function machine:cma_alloc(size, options) end

---@class machine.dmesg.fields
---@field clear? boolean Forget the lines afterwards.

---What the kernel has printed, as far as the model says it; the last 1024 lines.
---@param fields? machine.dmesg.fields
---@return string # One line a message, without time stamps.
function machine:dmesg(fields) end

---The zones that have memory.
---@return table # The zones with memory, node by node.
function machine:zones() end

---A zone by its name.
---@param name "DMA"|"DMA32"|"Normal"|"Movable"|"Device" 
---@param node? integer 
---@return zone # 
function machine:zone(name, node) end

---The NUMA nodes.
---@return table # 
function machine:nodes() end

---A NUMA node by its number.
---@param id? integer 
---@return node # 
function machine:node(id) end

---A page by its page frame number.
---@param pfn integer 
---@return page # 
function machine:page(pfn) end

---The pageblock that a page lies in.
---@param page any A page, or a pfn in the pageblock.
---@return pageblock # 
function machine:pageblock(page) end

---@class machine.map.fields
---@field columns? integer 
---@field color? boolean 
---@field legend? boolean 

---Draws physical memory: each zone a strip of cells, how full they are and what their pageblocks are for.
---@param fields? machine.map.fields
---@return string # The drawing.
function machine:map(fields) end

---/proc/buddyinfo: free blocks of each order, zone by zone.
---@return string # The file's text, byte for byte.
function machine:buddyinfo() end

---/proc/pagetypeinfo: free blocks by migratetype, and pageblocks by type.
---@return string # The file's text, byte for byte.
function machine:pagetypeinfo() end

---/proc/zoneinfo: marks, counters and per-CPU lists of each zone.
---@return string # The file's text, byte for byte.
function machine:zoneinfo() end

---@class machine.vmstat.fields
---@field since? machine An earlier fork: print only what changed since, with signs.
---@field table? boolean Return numbers by name instead of text.

---/proc/vmstat: the counters of zones, nodes and events.
---@param fields? machine.vmstat.fields
---@return any # /proc/vmstat's text, or a table of numbers.
function machine:vmstat(fields) end

---@class machine.trace.fields
---@field last? integer Only the last events.
---@field clear? boolean Forget the events afterwards.

---What happened, as ftrace prints it. The ring holds the last 65,536 events.
---
---The clock counts events, and a page's address stands for its struct page.
---@param fields? machine.trace.fields
---@return string # One line an event.
function machine:trace(fields) end

---Verifies every invariant of the allocator's state.
---@return boolean? # true when every invariant holds.
function machine:check() end

---A second machine in the same state; from here on each goes its own way.
---
---Costs the memory that the machine has touched.
---@return machine # 
function machine:fork() end

---Reads or writes a setting of the allocator; writing recomputes what depends on it.
---@param name "min_free_kbytes"|"watermark_scale_factor"|"watermark_boost_factor"|"percpu_pagelist_high_fraction"|"lowmem_reserve_ratio" A file of /proc/sys/vm.
---@param value? any What to write, a number, a list of them, or text; without it, only read.
---@return string # What the file prints now.
function machine:sysctl(name, value) end

---Writes transparent_hugepage/enabled, which moves min_free_kbytes.
---@param mode "always"|"madvise"|"never" 
function machine:thp(mode) end

---One NUMA node.
---@class node
---@field id integer Its number.
---@field zones table Its zones with memory, lowest first.
---@field cpus table The numbers of its CPUs.
---@field zonelist table The zones that a request from here tries, in order (rule A1.13).
local node = {}

---One zone of one node: its extent, marks, counters and lists.
---@class zone
---@field name string DMA, DMA32, Normal, Movable or Device.
---@field node node The node it belongs to.
---@field start_pfn integer Its first frame.
---@field end_pfn integer The frame behind its last one.
---@field spanned integer Frames from start to end, holes included.
---@field present integer Pages of memory.
---@field managed integer Pages that the allocator was given.
---@field cma_pages integer Pages in CMA areas.
---@field min integer The min watermark in pages, boost included.
---@field low integer The low watermark in pages, boost included.
---@field high integer The high watermark in pages, boost included.
---@field promo integer The promo watermark in pages, boost included.
---@field boost integer watermark_boost in pages.
---@field nr_free_pages integer The global counter, as the watermark tests see it: it lags.
---@field reserved_highatomic integer Pages in HighAtomic pageblocks.
---@field stat_threshold integer How far a CPU's counter may run ahead.
---@field free integer Pages on the free lists, exactly.
---@field free_cma integer Free pages in CMA pageblocks, exactly.
---@field below_high boolean The flag ZONE_BELOW_HIGH (rule A4.3).
---@field lowmem_reserve table Pages held back from requests for DMA, DMA32, Normal, Movable, Device.
local zone = {}

---The blocks of a free list, from head to tail.
---@param order integer 
---@param type "Unmovable"|"Movable"|"Reclaimable"|"HighAtomic"|"CMA"|"Isolate" 
---@param limit? integer How many at the most.
---@return table # First pfns, the next to be taken first.
function zone:free_list(order, type, limit) end

---A CPU's lists of this zone, with every field of struct per_cpu_pages.
---@param cpu? integer 
---@return table # count, high, high_min, high_max, batch, …, and lists.
function zone:pcp(cpu) end

---The unit that has a migratetype: 512 pages on x86_64.
---@class pageblock
---@field pfn integer Its first frame.
---@field type string Its migratetype.
---@field zone zone Its zone; nil outside of all.
---@field free integer Pages on the buddy lists.
---@field pcp integer Pages on per-CPU lists.
---@field allocated integer Pages in use.
---@field reserved integer Pages that boot kept.
---@field movable integer Pages on an LRU list or driver-movable: what the claim rule counts.
local pageblock = {}

---A page frame: where it is, and what it is part of right now.
---@class page
---@field pfn integer Its page frame number.
---@field address integer Its physical address.
---@field state string free (buddy), pcp (a per-CPU list), allocated, pool (a free huge page), reserved, or hole.
---@field order integer The order of the block it lies in; nil in none.
---@field block page The first page of its block; nil in none.
---@field migratetype string The type of its pageblock.
---@field pageblock pageblock Its pageblock.
---@field zone zone Its zone; nil outside of all.
local page = {}

---Gives the block that starts here back; the same as m:free_pages(page).
function page:free() end

---A contiguous memory area: pageblocks that movable pages borrow until a device wants them.
---@class cma_area
---@field name string Its name; `cma=` makes one called reserved.
---@field base integer Its first frame.
---@field pages integer Its size in pages.
---@field order_per_bit integer log2 of the pages that one bit of its bitmap stands for.
---@field zone zone The zone it lies in.
---@field used integer Pages that cma_alloc has handed out, in whole bits.
---@field maxchunk integer The most neighbouring pages that nobody was given.
---@field bitmap table The runs of set bits, a list of { first = bit, count = bits }.
---@field alloc_pages_success integer Pages handed out since boot.
---@field alloc_pages_fail integer Pages asked for in vain since boot.
---@field release_pages_success integer Pages given back since boot.
local cma_area = {}

---Gives a buffer back that this script has no object for, such as one that was there when the machine was forked.
---@param page any The first page of a buffer, or its pfn.
---@param pages integer Its size in pages.
function cma_area:release(page, pages) end

---Neighbouring pages from a CMA area; a `<close>` variable gives them back.
---@class cma_buffer
---@field pfn integer Its first frame.
---@field pages integer Its size in pages.
---@field page page Its first page.
---@field area cma_area The area it is from.
---@field released boolean Whether it was given back through this object.
local cma_buffer = {}

---Gives the pages back, one by one and ascending, to this CPU's lists, from which the next movable requests take them.
function cma_buffer:release() end

---@class machine.fields
---@field ram? integer|number|string Memory of a machine with one node.
---@field nodes? table Memory of each node, for example { "2G", "2G" }.
---@field cpus? integer CPUs, spread evenly over the nodes.
---@field arch? "x86_64"|"ppc64" x86_64 has 4 KiB pages and 2 MiB pageblocks, ppc64 64 KiB and 16 MiB.
---@field cma? any A CMA area as `cma=` makes it: a size, or a list of { name, size, base }, base a pfn.
---@field kernelcore? any Size or "N%" that is kept out of ZONE_MOVABLE.
---@field movablecore? any Size or "N%" of ZONE_MOVABLE.
---@field kernel? "6.12"|"6.12.0"|"6.9"|"6.1" Whose rules apply; see kernels().
---@field thp? "always"|"madvise"|"never" Huge pages raise the watermarks of machines of 512 MiB and more.
---@field min_free_kbytes? integer vm.min_free_kbytes, written right after boot.
---@field config_cma? boolean CONFIG_CMA; stock Debian kernels lack it.
---@field distances? table NUMA distances, a list of lists.
---@field hugepages? any Huge pages that boot takes, as `hugepages=`: a count, or a list with one for each node.
---@field from? string A recording (.jsonl, .jsonl.gz) or a folder written by `pinlab capture`.

---Boots a modelled machine, or takes one from a file.
---
---Zones, watermarks, per-CPU lists and the order of the free lists are those that Linux 6.12 would leave after boot. With `from`, the machine is in the state that was recorded or captured, and only `kernel` may be given besides.
---@param fields? machine.fields
---@return machine # 
function machine(fields) end

---The kernels that a machine can run.
---@return table # A list of tables with name and release.
function kernels() end

---The bytes of a size. Units are powers of 1024: K, M, G, T, with or without iB.
---@param text integer|number|string A size such as "1.5G".
---@return integer # Bytes.
function size(text) end
