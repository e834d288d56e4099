---@meta pinlab

---A modelled machine: nodes, zones, per-CPU lists, and the pages in them.
---@class machine
---@field arch string x86_64 or ppc64.
---@field page_size integer Bytes in a page.
---@field pageblock_order integer Pages of a pageblock, as an order.
---@field max_order integer The order of the largest free block.
---@field present_pages integer Pages of memory, reserved ones included.
---@field free integer Pages on the buddy lists, exactly.
---@field cpus integer The number of CPUs.
---@field cpu integer The CPU that runs the next operation.
---@field operation integer How many operations were done: calls that change memory; holders say since which one.
---@field kswapd_wakeups integer How often kswapd was woken.
---@field fail_allocation integer The n-th allocation from now on fails, once; 0 is off. For trying error paths.
local machine = {}

---Allocates a block of 2^order pages.
---
---A request that finds none below the marks compacts, reclaims and retries as its flags say, and has the OOM killer kill guests in the end; m:dmesg() shows the kernel's messages unless __GFP_NOWARN is given.
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

---Lets seconds pass: on every CPU the statistics worker folds the counters and lets the high marks of the per-CPU lists decay; a kswapd that naps goes to sleep.
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
---@return table? # nr, free, reserved, surplus, max and overcommit, in huge pages, and size in bytes; nr, free and surplus of the node if one is given. reserved is below 0 where a promise was taken back twice; /proc/meminfo prints that as a huge number.
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

---Takes neighbouring pages out of a CMA area; pages that borrow them move away.
---
---A page in the way that does not move makes the call try the next candidate, `align` pages on; what has moved stays where it is then, too.
---@param size any Pages, or a size such as "1M".
---@param options? table area: a name, the first one unless given. align: log2 of what the first pfn is a multiple of, 0 unless given. no_warn: do not log a failure.
---@return cma_buffer? # The pages.
function machine:cma_alloc(size, options) end

---Every buffer of cma_alloc that was not released; a fork of the machine has its own.
---@return table # cma_buffer objects, oldest first.
function machine:cma_buffers() end

---@class machine.dmesg.fields
---@field clear? boolean Forget the lines afterwards.

---What the kernel has printed, as far as the model says it; the last 1024 lines.
---@param fields? machine.dmesg.fields
---@return string # One line a message, without time stamps.
function machine:dmesg(fields) end

---The units in which memory goes offline and comes back: 128 MiB on a small x86_64.
---@return table # Blocks ascending, each with block, pfn, pages, state ("online", "offline" or "absent") and zone; zone is nil where the block spans zones.
function machine:memory_blocks() end

---Takes a memory block offline: everything in it moves elsewhere.
---
---The kernel tries for ever; here a signal ends it after `rounds`. What has moved stays where it is then, and the block is as usable as before.
---@param block integer Number of a block of m:memory_blocks().
---@param rounds? integer A signal comes after so many rounds of looking for pages that can move.
---@return boolean? # true.
function machine:offline(block, rounds) end

---Brings a memory block back.
---@param block integer Number of an offline block.
---@param target? string "online_movable", "online_kernel", or "online": as its neighbours are.
---@return boolean # true.
function machine:online(block, target) end

---Who keeps pages of a range from being moved away, grouped, before anybody tries.
---
---The same list is the field blockers of the error of a cma_alloc or an offline that failed.
---@param pfn integer First frame.
---@param pages? integer 
---@param caller? "cma_alloc"|"offline"|"alloc_contig" Who would empty the range; each call meets obstacles of its own.
---@return table # One entry a holder, with by (in words), kind ("pin", "temp_ref", "drop_caches", "reference", "lru_batch", "isolated", "kernel", "cma_buffer", "cma_pageblock", "huge_pool", "gigantic", "reserved", "across_start"), pin or reference (an id) and since (an operation) where somebody has signed for it, count (folios), pages (their frames), and pfns (the first frames of at most 100 folios).
function machine:why_busy(pfn, pages, caller) end

---@class machine.compact.fields
---@field node? integer Only this one.

---Moves what can move to the ends of the zones, so that free memory comes in larger blocks.
---
---The same as writing 1 to /proc/sys/vm/compact_memory, or to a node's compact file. Pinned pages stay, and so does everything that the kernel itself has.
---@param fields? machine.compact.fields
---@return integer # Pages that moved.
function machine:compact(fields) end

---@class machine.reclaim.fields
---@field bytes integer|number|string How much to reclaim.
---@field node? integer The node to reclaim from.

---Reclaims memory, as a write to memory.reclaim does: clean pages of files that nobody pinned or references, oldest first; then, on a machine with swap space, anonymous memory and shmem.
---@param fields machine.reclaim.fields
---@return integer? # Bytes reclaimed, perhaps more than asked for.
function machine:reclaim(fields) end

---Takes memory page by page, as the kernel or a driver would, with all that follows: kswapd wakes, pages are reclaimed or swapped out, and in the end the OOM killer kills guests.
---
---What it returns prints what went and why the rest did not; `m:dmesg()` has the kernel's words. The handles of killed guests are stale.
---@param bytes integer|number|string How much memory to take.
---@param gfp? string|string[] What each page is asked for with.
---@return pressure # What it holds; `short` says why it is less than asked for.
function machine:pressure(bytes, gfp) end

---All memory that pressure took and nobody released; a fork of the machine has its own.
---@return table # pressure objects, oldest first.
function machine:pressures() end

---Drops what is cached, clean and otherwise unused, as a write to /proc/sys/vm/drop_caches does.
---
---What is dirty, mapped, pinned or referenced stays; small folios that stay wait in the lru_deactivate_file batch, which holds a reference until it is drained.
---@param what? integer 1: cached pages of files; 2: slab caches, of which the model has none; 3: both.
---@return table # `dropped` and `kept`, in pages.
function machine:drop_caches(what) end

---@class machine.file.fields
---@field name? string How messages name it.
---@field size integer|number|string Its size, rounded up to whole pages.

---A file on a disk, nothing of which is cached yet. Reading it fills the page cache, which is what reclaim lives on.
---@param fields machine.file.fields
---@return file? # 
function machine:file(fields) end

---The files of disks that exist; a fork of the machine has its own. What guests map as memfd, hugetlb or device memory is not among them.
---@return table # file objects, oldest first.
function machine:files() end

---What the OOM killer would weigh: resident and swapped pages and page tables, moved by oom_score_adj. It kills the process with the most points.
---@return table # For each process `name`, `points`, `rss`, `swap`, `tables` and `adj`, oldest first.
function machine:oom_scores() end

---@class machine.guest.fields
---@field name? string How messages and why name it.
---@field ram? integer|number|string Its RAM, mapped from 0x7f0000000000 on.
---@field backing? "anon"|"shared"|"memfd"|"hugetlb"|"file"|"device"|"dax"|"secret" What the RAM is: private anonymous memory, shared anonymous memory, a memfd, hugetlb pages, a file of a disk, memory of a device, a file of a DAX filesystem, or secret memory.
---@field thp? "always"|"madvise"|"never" Where huge pages may be used: wherever the machine's setting allows, with MADV_HUGEPAGE, or with MADV_NOHUGEPAGE.
---@field shmem_thp? "never"|"always"|"within_size"|"advise"|"force"|"deny" huge= of the shmem behind `shared` and `memfd`.
---@field hugepages? integer|number|string The size of the hugetlb pages: 2M or 1G.
---@field node? integer The node on whose CPUs it runs.
---@field placement? "normal"|"shuffled" shuffled fills the RAM at once with single frames in random order.
---@field seed? integer Where the order of `shuffled` starts.
---@field hpt? any A powerpc guest's hash page table: true for QEMU's choice, or its order; see m:hpt. Without memory for it the guest does not start.

---Starts a guest: a process with RAM, mapped but not populated.
---
---m:guest("vm0") finds a guest by its name, also on a fork of the machine.
---@param fields? machine.guest.fields
---@return guest? # 
function machine:guest(fields) end

---The guests, forked ones included.
---@return table # The guests that run, oldest first.
function machine:guests() end

---Explains a page: where it is, who maps and who holds it, and whether it could be moved or pinned for long now.
---
---Holders are searched when it is asked; nothing is kept for it.
---@param page any A page, a folio, or a pfn.
---@return explanation # Prints as some lines; has them as fields.
function machine:why(page) end

---The folio that a page belongs to.
---@param page any A page, a folio, or a pfn.
---@return folio # nil for a page that is not allocated.
function machine:folio(page) end

---Takes a reference to a page's folio, as a walk over all frames takes for a moment.
---
---While it is held, the folio cannot be migrated.
---@param page any A page, a folio, or a pfn.
---@param holder? string Who holds it, for why.
---@return temp_ref? # 
function machine:temp_ref(page, holder) end

---Every reference of temp_ref and isolate that is held; a fork of the machine has its own.
---@return table # temp_ref and isolation objects, oldest first.
function machine:temp_refs() end

---Takes a page's folio off its LRU list, as compaction does before it migrates.
---@param page any A page, a folio, or a pfn.
---@param holder? string Who holds it, for why.
---@return isolation? # 
function machine:isolate(page, holder) end

---The LRU lists of each node, and what waits in the CPUs' batches.
---@return lru # `lists` and `batches`; prints both.
function machine:lru() end

---Empties the LRU batches: what waits goes to its list.
---@param cpu? integer Whose batches.
function machine:drain_lru(cpu) end

---Every pin that is held.
---@return table # Pins, oldest first.
function machine:pins() end

---All who hold memory of guests for a device; a fork of the machine has its own.
---@return table # device objects, oldest first.
function machine:devices() end

---@class machine.vfio.fields
---@field guest guest Whose memory it reaches.
---@field name? string Who holds the pages, for why.
---@field version? "v1"|"v2" What unmap answers when it would cut a mapping.
---@field disable_hugepages? boolean One page a call and a run.
---@field fine_superpages? boolean The IOMMU has pages of every power of two: one look and one call unmap a whole one.
---@field entry_limit? integer The most mappings.

---A VFIO type 1 container: it pins what it maps for as long as it is mapped.
---@param fields machine.vfio.fields
---@return device # 
function machine:vfio(fields) end

---@class machine.iommufd.fields
---@field guest guest Whose memory it reaches.
---@field name? string Who holds the pages, for why.
---@field account? "user"|"locked_vm" What is compared with RLIMIT_MEMLOCK (IOMMU_OPTION_RLIMIT_MODE).

---An iommufd address space: fast pins of 8192 pages a call, kept as runs of 12 bytes.
---@param fields machine.iommufd.fields
---@return device # 
function machine:iommufd(fields) end

---@class machine.rdma.fields
---@field guest guest Whose memory it reaches.
---@field name? string Who holds the pages, for why.
---@field odp? boolean On demand: no pins at all.
---@field max_segment? integer|number|string The most bytes of a segment of the scatter list.

---An RDMA device: fast pins of 512 pages a call, kept as a scatter list.
---@param fields machine.rdma.fields
---@return device # 
function machine:rdma(fields) end

---@class machine.io_uring.fields
---@field guest guest Whose memory it reaches.
---@field name? string Who holds the pages, for why.

---An io_uring ring for fixed buffers: one fast pin a buffer, of 1 GiB at most.
---@param fields machine.io_uring.fields
---@return device # 
function machine:io_uring(fields) end

---@class machine.spapr.fields
---@field guest guest Whose memory it reaches.
---@field name? string Who holds the pages, for why.

---powerpc's registered regions (SPAPR TCE v2): what spapr_pin of the kernel says.
---@param fields machine.spapr.fields
---@return device # 
function machine:spapr(fields) end

---@class machine.hpt.fields
---@field guest guest The guest that it is for.
---@field order? integer log2 of its bytes, 18 to 46. Without it QEMU's choice: a 128th of the guest's RAM, rounded up to a power of two.
---@field default? boolean What the first run does when nobody asked for a size: order 24, and smaller ones down to 18.

---Gives a powerpc guest its hash page table, from the area kvm_cma or else from the buddy.
---
---A table of another order is freed first, one of the same order is kept and cleared. Boot sets the area aside with machine{ arch = "ppc64", kvm_cma_resv_ratio = 5 }.
---@param fields machine.hpt.fields
---@return hpt? # 
function machine:hpt(fields) end

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
---@field pfn? integer Draw memory from this frame on.
---@field pages? integer Draw so many pages.
---@field area? string Draw the CMA area of this name.
---@field blockers? "none"|"cma_alloc"|"offline"|"alloc_contig" Point at the pages that such a call could not move away, and say whose they are.

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

---Verifies every invariant of the state: lists, counts, tables, pins, devices.
---
---What a kernel of old corrupted on the way (I4) is told first.
---@return boolean? # true when every invariant holds.
function machine:check() end

---A second machine in the same state; from here on each goes its own way.
---
---Costs the memory that the machine has touched.
---@return machine # 
function machine:fork() end

---What this machine has that another has not: pages that moved, holders, counts, lists, counters, and where on the map.
---@param other machine An earlier fork of this machine, or a later one.
---@return difference # Prints as some lines; has them as fields.
function machine:diff(other) end

---Whether two machines would behave the same from here on.
---@param other machine 
---@return boolean # Whether both are equal, byte for byte.
---@return string # The first table or field of the model that differs, or nothing.
function machine:same(other) end

---Saves the machine, guests, pins and all, for machine{ from = file } to go on from.
---
---The file takes the place of an older one when it is whole: a crash on the way leaves the old one. It costs the memory that the machine has touched, holds checksums, and is read by versions of pinlab with the same format. Reach what the machine holds through guests(), pins(), files(), cma_buffers(), devices(), pressures() and temp_refs(), as on a fork. A script in the sandbox writes beneath the current folder alone.
---@param file string Where to write.
---@param force? boolean Replace a file that is no saved machine.
---@return integer # Bytes written.
function machine:save(file, force) end

---Reads the kernel of the machine, or changes it: the same moment, years earlier or later.
---
---Memory stays as it is. Where the kernels keep free pages on their way differently, per-CPU lists and LRU batches are emptied first.
---@param which? any A kernel, or the name of one; without it, only read.
---@return kernel # The kernel whose rules apply now.
function machine:kernel(which) end

---Reads or writes a setting of the allocator; writing recomputes what depends on it.
---@param name "min_free_kbytes"|"watermark_scale_factor"|"watermark_boost_factor"|"percpu_pagelist_high_fraction"|"lowmem_reserve_ratio"|"compaction_proactiveness"|"swappiness" A file of /proc/sys/vm.
---@param value? any What to write, a number, a list of them, or text; without it, only read.
---@return string # What the file prints now.
function machine:sysctl(name, value) end

---Writes transparent_hugepage/enabled.
---
---It moves min_free_kbytes, and says where faults may use huge pages: anywhere, in areas with MADV_HUGEPAGE, or nowhere.
---@param mode "always"|"madvise"|"never" 
function machine:thp(mode) end

---Takes one of the kernel's protections against races out, to see what breaks without it.
---
---test_and_clear_lru: isolation tests and clears the LRU flag in one step. reread_entry: the fast walk reads an entry again after it took the page. fork_sequence: it gives all back when a fork came in between. compare_references: migration compares a folio's references.
---@param name "test_and_clear_lru"|"reread_entry"|"fork_sequence"|"compare_references" What protects.
---@param on? boolean Whether the kernel has it; only read without.
---@return boolean # Whether it has it now.
function machine:protection(name, on) end

---The tasks of step() that are in the middle of a call on this machine, whether or not a variable still names them.
---
---What they hold stays held until their calls end: run() or kill() them. A fork has what they hold, and not the tasks.
---@return table # task objects, oldest first.
function machine:tasks() end

---One NUMA node.
---@class node
---@field id integer Its number.
---@field zones table Its zones with memory, lowest first.
---@field cpus table The numbers of its CPUs.
---@field isolated integer NR_ISOLATED_ANON and NR_ISOLATED_FILE. Linux 4.9 of powerpc lowers them below 0, which /proc/vmstat prints as 0 (rule P3.56).
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
---@field folio folio The folio it belongs to; nil in none.
---@field mapcount integer Entries that show just this page, or a leaf around it.
---@field ref integer References of its folio; nil in none.
---@field expected_ref integer References that mappings and caches account for (rule P1.7); nil in none.
---@field pincount integer Pins of its folio: exact for large ones, references / 1024 for a page (rule P1.4).
---@field flags string Flags of its folio, as names; nil in none.
---@field dirty boolean Its folio is dirty.
---@field lru string The LRU list that its folio is on; nil for none.
---@field pinnable boolean A long-term pin may stay on its folio (rule P3.1); nil in none.
---@field mapped_by table Who shows it: tables with guest, address and level, p, m or u.
local page = {}

---Gives the block that starts here back; the same as m:free_pages(page).
function page:free() end

---A guest: a process whose memory is its RAM. Offsets into the RAM count from 0.
---@class guest
---@field name string Its name.
---@field machine machine The machine it runs on.
---@field id integer The number of its process.
---@field base integer The address at which its RAM begins.
---@field ram integer Bytes of RAM.
---@field backing string What its RAM is made of, in words.
---@field anon_pages integer Resident anonymous pages.
---@field file_pages integer Resident pages of files.
---@field shmem_pages integer Resident pages of shmem.
---@field locked_pages integer Pages in locked areas and of devices (VmLck, locked_vm).
---@field pinned_pages integer Pages of RDMA devices and iommufd (VmPin, pinned_vm).
---@field user_locked_pages integer Pages of io_uring and iommufd, over all processes of the user (user->locked_vm).
---@field devices table What it has opened for devices, oldest first.
---@field swapped_pages integer Entries of its page tables that name a page in swap space (VmSwap).
---@field oom_score_adj integer What the OOM killer adds to its points, in thousandths of memory; -1000 exempts it (A7.40).
---@field has_pinned boolean A pin was ever taken of it, so a fork looks for them (P2.20).
---@field hpt hpt The hash page table of a powerpc guest, or nil.
---@field pins table The pins of its memory, oldest first.
local guest = {}

---Faults in a range for writing, as MADV_POPULATE_WRITE does.
---
---The pages stay zero. At the end this CPU's LRU batches are drained, so all pages are on the LRU lists.
---@param from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@param length? integer|number|string How much, rounded up to whole pages.
---@return population? # What is present of the range now.
function guest:populate(from, length) end

---Stores a zero into every page of a range; faults in what is missing.
---
---Unlike populate, no batch is drained: the last pages may not be on the LRU lists yet.
---@param from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@param length? integer|number|string How much, rounded up to whole pages.
---@return population? # What is present of the range now.
function guest:touch(from, length) end

---Writes data into every page of a range; faults in what is missing, and copies what is shared.
---
---A page that was never written may become the zero page again when its huge page is split.
---@param from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@param length? integer|number|string How much, rounded up to whole pages.
---@return population? # What is present of the range now.
function guest:write(from, length) end

---Reads every page of a range; anonymous memory that is missing then shows the zero page.
---@param from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@param length? integer|number|string How much, rounded up to whole pages.
---@return population? # What is present of the range now.
function guest:read(from, length) end

---Counts what is present of a range, and where it lies.
---@param from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@param length? integer|number|string How much, rounded up to whole pages.
---@return population # 
function guest:resident(from, length) end

---@class guest.mmap.fields
---@field length integer|number|string How much, rounded up to whole pages.
---@field address? integer Where (MAP_FIXED_NOREPLACE).
---@field backing? "anon"|"shared"|"memfd"|"hugetlb"|"file"|"device"|"dax"|"secret" As for a guest's RAM; hugetlb takes the architecture's huge page.
---@field prot? "none"|"r"|"w"|"rw" Rights.
---@field shared? boolean Map a file shared; false gives private copies on writes.
---@field of? any An address or offset in this guest, or in `guest`, whose file is mapped again.
---@field guest? guest The guest that `of` means.
---@field populate? boolean MAP_POPULATE: fault it in at once.

---Maps more memory into the guest.
---
---With `of` and `guest` two guests share memory: `vm2:mmap{ length = "1M", of = 0, guest = vm }` maps the start of vm's RAM, when that is a memfd, shmem or a file.
---@param fields guest.mmap.fields
---@return integer? # The address.
function guest:mmap(fields) end

---Unmaps a range; pinned pages live on until they are unpinned.
---@param from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@param length? integer|number|string How much, rounded up to whole pages.
---@return boolean? # true.
function guest:munmap(from, length) end

---Gives advice about a range.
---
---dontneed takes the pages away; hugepage and nohugepage say where huge pages may be used; dontfork and dofork, what a child inherits; nomovable, pinnable and might_pin are proposals that were never merged (rules P9.20, P9.22) and need a kernel{ madv_nomovable = true }.
---@param advice "dontneed"|"hugepage"|"nohugepage"|"populate_read"|"populate_write"|"cold"|"dontfork"|"dofork"|"nomovable"|"pinnable"|"might_pin" MADV_….
---@param from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@param length? integer|number|string How much, rounded up to whole pages.
---@return boolean? # true.
function guest:madvise(advice, from, length) end

---Changes what a range may be used for.
---@param prot "none"|"r"|"w"|"rw" Rights from now on.
---@param from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@param length? integer|number|string How much, rounded up to whole pages.
---@return boolean? # true.
function guest:mprotect(prot, from, length) end

---Locks a range into memory, and faults it in.
---@param from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@param length? integer|number|string How much, rounded up to whole pages.
---@return boolean? # true.
function guest:mlock(from, length) end

---Unlocks a range.
---@param from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@param length? integer|number|string How much, rounded up to whole pages.
---@return boolean? # true.
function guest:munlock(from, length) end

---Moves pages to other frames, as move_pages(2) does: it stands for whatever moves pages between their faults and a pin.
---
---The new frames are movable memory, so they may lie in CMA or ZONE_MOVABLE; pages in LRU batches and hugetlb pages are passed over.
---@param from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@param length? integer|number|string How much, rounded up to whole pages.
---@return table # moved and failed: pages that moved, and that did not.
function guest:migrate(from, length) end

---@class guest.move_pages.fields
---@field from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@field length? integer|number|string How much, rounded up to whole pages.
---@field node integer The node to move to.
---@field all? boolean MPOL_MF_MOVE_ALL: also pages that several processes map, as only root may.

---Moves pages to a node, and says of each where it is then.
---
---EBUSY: somebody else had the page isolated. EACCES: other processes map it, too. The first folios that do not move end the call.
---@param fields guest.move_pages.fields
---@return table # One entry a page: the node it is on, the name of an errno, or false where the kernel says nothing.
---@return integer # Pages that did not move or that nobody looked at.
function guest:move_pages(fields) end

---Copies the process: private memory is shared until somebody writes.
---
---Pages that may be pinned are copied at once, so the parent keeps the frames that the device knows (rule P2.20).
---@param name? string The child's name.
---@return guest? # The child.
function guest:fork(name) end

---Ends the process; its memory is freed, except what pins and others still hold. Its devices are closed.
---
---The handle is stale afterwards.
function guest:exit() end

---@class guest.pin.fields
---@field from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@field length? integer|number|string How much, rounded up to whole pages.
---@field write? boolean FOLL_WRITE.
---@field longterm? boolean FOLL_LONGTERM: pages may not stay in CMA or ZONE_MOVABLE.
---@field fast? boolean pin_user_pages_fast, as RDMA and io_uring pin.
---@field remote? boolean pin_user_pages_remote, as VFIO pins.
---@field unlocked? boolean pin_user_pages_unlocked: mmap_lock is taken inside.
---@field force? boolean FOLL_FORCE: write to read-only private memory.
---@field nofault? boolean FOLL_NOFAULT: missing pages are an error.
---@field get? boolean FOLL_GET: plain references instead of pins, as get_user_pages takes.
---@field output? "pages"|"sg"|"bvec"|"pfn"|"runs"|"folios" The form in which the caller keeps the pages: sets `bytes`.
---@field holder? string Who holds it, for why: "vm0's NIC".
---@field chunk? integer|number|string How much one call takes, as VFIO and RDMA go in chunks.
---@field max_rounds? integer After so many rounds of pin and migrate in one call it is killed and called a livelock.
---@field flags? string More FOLL_ flags by name, such as "FOLL_SPLIT_PMD|FOLL_INTERRUPTIBLE" (rule P3.15).
---@field fast_only? boolean get_user_pages_fast_only: the fast walk without a slow one behind it.
---@field watch? function Called before each atomic step with its name, the kernel function and what it does; it may do to the machine what another CPU could do just then.

---Pins a range: its pages stay where they are until unpin.
---
---With `longterm`, pages that may not stay where they are move first. An error gives nil, err with err.stuck, err.rounds and err.costs; a short count gives a pin whose `pages` is less than `requested`, with the hidden error in `error`.
---@param fields? guest.pin.fields
---@return pin? # The pages that are pinned; maybe fewer than asked for.
function guest:pin(fields) end

---@class guest.memfd_pin.fields
---@field from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@field length? integer|number|string How much, rounded up to whole pages.
---@field max_folios? integer Room of the caller for folios.
---@field holder? string Who holds it, for why.
---@field watch? function Called before each atomic step, as that of `pin`.

---Pins folios of the memfd, shmem or hugetlb file that is mapped there, as udmabuf does.
---
---No page table is looked at: the range says which part of the file is meant. Each folio is pinned once, however large it is; holes of the file are filled. It is always a long-term pin.
---@param fields? guest.memfd_pin.fields
---@return pin? # The folios, each pinned once.
function guest:memfd_pin(fields) end

---@class guest.guest_memfd.fields
---@field size integer|number|string Its size, whole pages.
---@field name? string How messages name it.

---Memory that the guest reaches through KVM and no process can map, as for confidential guests.
---
---Its pages come from blocks for memory that does not move, so never from CMA or ZONE_MOVABLE; they cannot be pinned, reclaimed or migrated. It is closed when the guest exits.
---@param fields guest.guest_memfd.fields
---@return guest_memfd? # 
function guest:guest_memfd(fields) end

---The guest's open guest_memfds; that of a fork of the machine has its own.
---@return table # guest_memfd objects, oldest first.
function guest:guest_memfds() end

---Reads or sets how much the process may lock.
---
---mlock, VFIO and SPAPR count against locked_vm, RDMA against pinned_vm, io_uring and iommufd against the user: each alone, so that one process may pin the limit three times.
---@param limit? any RLIMIT_MEMLOCK: a size, or false for none, as with CAP_IPC_LOCK.
---@return any # The limit in bytes; nil when there is none.
function guest:memlock(limit) end

---@class guest.vfio.fields
---@field name? string Who holds the pages, for why.
---@field version? "v1"|"v2" What unmap answers when it would cut a mapping.
---@field disable_hugepages? boolean One page a call and a run.
---@field fine_superpages? boolean The IOMMU has pages of every power of two: one look and one call unmap a whole one.
---@field entry_limit? integer The most mappings.

---A VFIO type 1 container: it pins what it maps for as long as it is mapped.
---
---It pins vfio_batch pages a call, cuts them into runs of neighbouring frames, maps each run into the IOMMU, and counts them against RLIMIT_MEMLOCK (locked_vm). All or nothing.
---@param fields? guest.vfio.fields
---@return device # 
function guest:vfio(fields) end

---@class guest.iommufd.fields
---@field name? string Who holds the pages, for why.
---@field account? "user"|"locked_vm" What is compared with RLIMIT_MEMLOCK (IOMMU_OPTION_RLIMIT_MODE).

---An iommufd address space: fast pins of 8192 pages a call, kept as runs of 12 bytes.
---
---Everything is pinned before it is counted: to the user, or to locked_vm as VFIO counts, and to pinned_vm besides.
---@param fields? guest.iommufd.fields
---@return device # 
function guest:iommufd(fields) end

---@class guest.rdma.fields
---@field name? string Who holds the pages, for why.
---@field odp? boolean On demand: no pins at all.
---@field max_segment? integer|number|string The most bytes of a segment of the scatter list.

---An RDMA device: fast pins of 512 pages a call, kept as a scatter list.
---
---Counted up front (pinned_vm). With odp = true nothing is pinned: the device faults, and what the kernel moves is invalidated first.
---@param fields? guest.rdma.fields
---@return device # 
function guest:rdma(fields) end

---@class guest.io_uring.fields
---@field name? string Who holds the pages, for why.

---An io_uring ring for fixed buffers: one fast pin a buffer, of 1 GiB at most.
---
---Buffers of whole folios that follow each other keep one pin a folio. Counted to the user, compound pages once over all buffers.
---@param fields? guest.io_uring.fields
---@return device # 
function guest:io_uring(fields) end

---@class guest.spapr.fields
---@field name? string Who holds the pages, for why.

---powerpc's registered regions (SPAPR TCE v2): what spapr_pin of the kernel says.
---
---A region that is registered again gets one more user; the last one gives it back. Its slots hold page pointers first and physical addresses afterwards; real-mode code looks them up.
---@param fields? guest.spapr.fields
---@return device # 
function guest:spapr(fields) end

---@class guest.map.fields
---@field columns? integer The width to stay inside.
---@field color? boolean Colour the cells.
---@field legend? boolean Explain the signs.

---Draws the RAM: how much of each cell is present, where it lies, and what is pinned.
---
---A cell stands for 2 MiB, or for more when the RAM is larger than the terminal.
---@param fields? guest.map.fields
---@return string # The drawing.
function guest:map(fields) end

---The page that the guest sees at an offset or address.
---@param at? integer|number|string An offset into the RAM, or an address.
---@return page # nil when nothing is present there.
function guest:page(at) end

---What the page tables show, as runs of neighbouring frames at one level with the same flags.
---
---A page of shared memory that is swapped out leaves no entry: its file knows the slot.
---
---At most 65536 rows are listed; `total` has the number of all.
---@param from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@param length? integer|number|string How much, rounded up to whole pages.
---@return listing # A row for each run: address, pages, pfn, level (p, m, u), flags; for pages in swap space slot instead of pfn.
function guest:pagemap(from, length) end

---The areas of the guest, in the manner of /proc/PID/maps.
---@return listing # A row for each area: address, bytes, flags, backing, offset.
function guest:vmas() end

---What is present of a range of a guest, counted when it was asked for.
---@class population
---@field pages integer Pages of the range that are present.
---@field bytes integer The same in bytes.
---@field cma integer Of them, pages in CMA pageblocks.
---@field movable integer Of them, pages in ZONE_MOVABLE.
---@field huge integer Of them, pages mapped by leaves of 2 MiB or more.
---@field zero integer Of them, pages that show the zero page.
local population = {}

---Pages of a guest that somebody pinned, and what taking them cost.
---@class pin
---@field id integer Its number, counted from boot.
---@field pages integer Pages that are pinned; of a file, folios.
---@field requested integer Pages that were asked for.
---@field rounds integer Rounds of pin, check and migrate; 0 when nothing was checked.
---@field migrated integer Pages of 4 KiB that were moved before.
---@field operation integer The operation that took it; why says "since operation N".
---@field offset integer Of a file: bytes from the start of the first folio to the first byte.
---@field longterm boolean Taken with FOLL_LONGTERM.
---@field write boolean Taken with FOLL_WRITE.
---@field get boolean Plain references instead of pins.
---@field holder string Who holds it.
---@field guest guest The guest whose memory it is; nil once that is gone.
---@field error table What a short count hid: errno, message and rule; nil if nothing.
---@field costs table What the call did: calls, walks, entry_reads, pin_atomics, array_writes, rescan_reads, lookups, unpin_atomics, local_drains, full_drains, rounds, faults, migrated_pages.
---@field ns integer An estimate of how long the call took, in nanoseconds.
---@field pfns table The frames in the order of the addresses; of large pins use runs().
local pin = {}

---@class pin.unpin.fields
---@field dirty? boolean Mark the pages dirty on the way.

---Gives the pages back. The object is stale afterwards.
---
---Pages that were moved for the pin stay where they are (rule P3.62).
---@param fields? pin.unpin.fields
---@return integer # Pages that were given back.
function pin:unpin(fields) end

---@class pin.sizes.fields
---@field max_segment? integer|number|string The most bytes that one segment of a scatter list may have.

---How many bytes the pages take in each form that a caller could be given.
---
---`allocated` adds what chains a scatter list, one record for every 127.
---@param fields? pin.sizes.fields
---@return listing # A row for each form: format, records, bytes.
function pin:sizes(fields) end

---The frames of the pin as runs of neighbours, in the order of the addresses.
---@param first? integer Start at this run.
---@param count? integer How many at the most.
---@return listing # A row for each run: pfn, pages, offset.
function pin:runs(first, count) end

---A page of the pin, as p.pfns[index] names it.
---@param index integer Which page of the pin, from 1 on.
---@return page # 
function pin:page(index) end

---Pages that are counted, mapped and moved as one.
---@class folio
---@field pfn integer Its first frame.
---@field page page Its first page.
---@field order integer log2 of its pages.
---@field pages integer Its pages.
---@field mapcount integer Entries that show it or a page of it.
---@field entire_mapcount integer Leaves that show all of it.
---@field ref integer References of its folio; nil in none.
---@field expected_ref integer References that mappings and caches account for (rule P1.7); nil in none.
---@field pincount integer Pins of its folio: exact for large ones, references / 1024 for a page (rule P1.4).
---@field flags string Flags of its folio, as names; nil in none.
---@field dirty boolean Its folio is dirty.
---@field lru string The LRU list that its folio is on; nil for none.
---@field pinnable boolean A long-term pin may stay on its folio (rule P3.1); nil in none.
---@field mapped_by table Who shows it: tables with guest, address and level, p, m or u.
local folio = {}

---A plain reference to a page that somebody took for a while.
---@class temp_ref
---@field page page The page that was asked for.
---@field holder string Who holds it.
---@field operation integer The operation that took it.
local temp_ref = {}

---Gives the reference back. The object is stale afterwards.
function temp_ref:release() end

---A folio that somebody took off its LRU list.
---@class isolation
---@field page page The page that was asked for.
---@field holder string Who holds it.
---@field operation integer The operation that took it.
local isolation = {}

---Queues the folio for its LRU list again. The object is stale afterwards.
function isolation:put_back() end

---Why a page is where it is, and what could be done with it, when it was asked for.
---@class explanation
---@field text string The lines that it prints.
---@field pfn integer The page.
---@field state string hole, reserved, free, pcp, pool or allocated.
---@field kind string What it is used for; nil when it is not allocated.
---@field zone string The name of its zone.
---@field migratetype string The type of its pageblock.
---@field cma string The CMA area that it lies in; nil for none.
---@field movable boolean Whether it could be migrated now; nil for free pages.
---@field reason string Why it cannot be migrated; nil when it can.
---@field rule string The rule behind `movable`.
---@field pinnable boolean Whether a long-term pin may stay on it; nil for no folio.
---@field pin_reason string What a long-term pin would do, and why.
---@field pin_rule string The rule behind `pinnable`.
---@field holders table Who has references beyond mappings and caches: tables with kind, text, references, operation.
---@field mapped_by table Who shows it: tables with guest, address and level, p, m or u.
local explanation = {}

---The LRU lists and batches, when they were asked for.
---@class lru
---@field lists table For each node a table: folios on inactive_anon, active_anon, inactive_file, active_file, unevictable.
---@field batches table Batches that hold something: tables with cpu, name, count and pfns, oldest first.
local lru = {}

---Rows that print as lines; list[i] is row i as a table, #list their number.
---@class listing
---@field total integer How many there are in all, listed or not.
local listing = {}

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

---The text of one of the files in which the kernel shows the area.
---@param file "base_pfn"|"count"|"order_per_bit"|"used"|"maxchunk"|"bitmap"|"alloc_pages_success"|"alloc_pages_fail"|"release_pages_success" A file of its folder in debugfs, or in sysfs for the last three.
---@return string # What the file shows.
function cma_area:read(file) end

---Neighbouring pages from a CMA area; a `<close>` variable gives them back.
---@class cma_buffer
---@field pfn integer Its first frame.
---@field pages integer Its size in pages.
---@field page page Its first page.
---@field area cma_area The area it is from.
---@field released boolean Whether it was given back, or parts of it were.
local cma_buffer = {}

---Gives the pages back, one by one and ascending, to this CPU's lists, from which the next movable requests take them.
function cma_buffer:release() end

---A file on a disk, as far as the page cache knows it.
---@class file
---@field name string Its name.
---@field size integer Bytes.
---@field cached integer Pages in the page cache.
local file = {}

---Reads a range: pages that are not cached are, the others were accessed.
---@param from? integer|number|string An offset into the file.
---@param length? integer|number|string How much.
---@return integer? # Pages read.
function file:read(from, length) end

---Writes a range: its pages are cached and dirty, so that reclaim passes them by until sync().
---@param from? integer|number|string An offset into the file.
---@param length? integer|number|string How much.
---@return integer? # Pages written.
function file:write(from, length) end

---Writes the file's dirty pages to its disk, which takes no time here.
---@return integer # Pages written to the disk.
function file:sync() end

---The cached page at an offset.
---@param from integer|number|string An offset into the file.
---@return page # nil where nothing is cached.
function file:page(from) end

---Deletes the file; its cached pages go. The object is stale afterwards.
function file:unlink() end

---Memory that m:pressure() took.
---@class pressure
---@field pages integer Pages that it holds.
---@field bytes integer The same in bytes.
---@field reclaimed integer Pages of files that were reclaimed meanwhile.
---@field swapped integer Pages that were written to swap space meanwhile.
---@field scanned integer Pages that reclaim looked at.
---@field pinned integer Pages of pins when it ended, which cannot be reclaimed (P9.1).
---@field killed table Names of the processes that the OOM killer chose.
---@field short string Why it holds less than was asked for; nil when it does not.
local pressure = {}

---Gives the memory back. The object is stale afterwards.
function pressure:release() end

---The hash page table of a powerpc guest; it is freed when the guest exits.
---@class hpt
---@field guest guest Whose it is.
---@field order integer log2 of its bytes.
---@field bytes integer Its size in bytes.
---@field pfn integer Its first frame.
---@field pages integer Its size in pages.
---@field area cma_area The CMA area it is from; nil for a block of the buddy.
---@field reverse_map_pages integer Pages of its reverse map, which are not contiguous.
local hpt = {}

---A kernel: what it is, and the value of each of its switches.
---
---Read a switch as a field: kernel("5.10").lt_check. kernel{ base = …, switch = value } makes one with other values.
---@class kernel
---@field name string Its name; one with switches of its own has them behind a +.
---@field release string The release that it was checked against.
---@field year integer When it came out, or was proposed.
---@field first_release string The release that first did so; nil for what was never merged.
---@field special string What is special about it.
---@field commits table The commits that made the difference.
---@field threads table The threads that argue about it.
---@field lt_check "none"|"cmaBlock"|"mtMovable"|"zoneOrCma"|"zoneAndCma"|"pinnable519" Which folios a long-term pin may not stay on. Rule P3.4.
---@field lt_users "none"|"spapr"|"gup" Whose pins are checked at all. Rule P3.58.
---@field lt_fast_check "absent"|"cma"|"same" What the fast walk tests. Rule P3.32.
---@field lt_scan "perPage"|"compoundStep"|"headCompare"|"pfnRange" Which entries of the output the check looks at. Rule P3.44.
---@field lt_on_migrate_fail "pinAnyway"|"error" What a failed migration means. Rule P3.50.
---@field lt_on_isolate_fail "ignoreIfListEmpty"|"retryForever" What it means that nothing could be isolated. Rule P3.43.
---@field lt_drain "localOnly"|"allIfNotLRU"|"refcountPlusOne"|"refcountLocalThenAll" When the LRU batches are drained. Rule P3.45.
---@field lt_isolate_inverted boolean The test after isolation is the wrong way round. Rule P3.46.
---@field lt_dest "ppcGfpUserNoretry"|"gfpUserThisnode"|"gfpUser"|"gfpUserMovableNoCma" How frames to move to are asked for. Rule P4.8.
---@field lt_scope "none"|"nocmaSlowpathOnly"|"nocma"|"pin" What allocations lose inside a long-term pin. Rule P2.34.
---@field lt_compound "skip"|"move" Whether compound pages are moved. Rule P3.56.
---@field lt_reason "contig_range"|"longterm_pin" The reason that trace events print. Rule P3.59.
---@field lt_check_array boolean The check allocates an array of pointers by kmalloc, 4 MiB at most. Rule P3.48.
---@field lt_batched_unpin boolean A failed round unpins folio by folio instead of page by page. Rule P8.3.
---@field gup_slow_batch boolean The slow walk takes a leaf at once. Rule P3.21.
---@field gup_slow_grab_checks_zone boolean The grab of the rest of a leaf refuses folios that may not stay. Rule P3.23.
---@field gup_unpin_batch boolean Unpinning goes folio by folio. Rule P3.80.
---@field gup_vmas_array boolean An array of VMAs beside the array of pages. Rule P3.48.
---@field gup_counting "references"|"pins" Whether pins are counted, or are plain references. Rule P1.3.
---@field gup_unshare "none"|"anonymous"|"all" When a read pin gets a private copy first. Rule P3.14.
---@field gup_refuses_dirty_tracking boolean No long-term write pin of a shared file that tracks dirty pages. Rule P3.13.
---@field gup_walker "rescan"|"integrated" Whether the walker tests each page as it finds it. Rule P3.60.
---@field gup_output "pages"|"scatter" Whether the walker writes pointers or a scatter list. Rule P7.51.
---@field bug_zero_page_unpinnable boolean The page of zeros may not stay pinned. Rule P3.5.
---@field mig_mode "classic10"|"batch3plus7" How migrate_pages goes over its list. Rule P4.1.
---@field mig_split_retry_longterm boolean Whether a split that found a reference is tried again. Rule P4.9.
---@field vfio_batch integer Pages that VFIO pins in one call. Rule P7.3.
---@field vfio_skip_tails boolean VFIO pins no page behind the first of a compound page, and maps the frames that follow; never merged. Rule P7.9.
---@field spapr_pin "plain"|"rfc2015"|"pageByPage"|"helper"|"longTerm" What powerpc does before it keeps a guest's pages. Rule P3.56.
---@field lru_batch_size integer Folios in an LRU batch. Rule P1.20.
---@field lru_clear_flag_on_queue boolean A folio that waits in a batch loses its LRU flag. Rule P1.26.
---@field thp_pcp_lists integer Per-CPU lists for pages of 2 MiB: none, one for all types, two. Rule P2.35.
---@field alloc_fallback "moveAndRetry"|"single"|"claimThenSteal" Which block a request takes when its own lists are empty. Rule A9.5.
---@field alloc_cma_first boolean Movable requests take CMA first while more than half of the free memory is CMA. Rule A9.3g.
---@field alloc_inserts_at_head boolean Blocks that are moved or put back go to the head of a list. Rule A9.2a.
---@field alloc_merges_across_types boolean Whole pageblocks merge across types, but for isolated ones. Rule A9.2p.
---@field alloc_wakes_without_boost boolean A fallback wakes kswapd even when nothing was boosted. Rule A9.2q.
---@field alloc_harder boolean __GFP_ATOMIC stands for ALLOC_HARDER. Rule A9.8.
---@field alloc_compares_unsigned boolean A negative number of usable pages passes the first test of order 0. Rule A9.2v.
---@field alloc_types_follow_pageblocks boolean A page's type is always its pageblock's. Rule A9.6.
---@field alloc_empty_zone_drops_reserve boolean An empty upper zone zeroes the reserve of the lower zones. Rule A9.2e.
---@field alloc_high_atomic_needs_high boolean HighAtomic blocks want __GFP_HIGH. Rule A9.2t.
---@field alloc_non_blocking_takes_high_atomic boolean Non-blocking requests may take HighAtomic blocks last. Rule A3.28.
---@field alloc_counts_free_high_atomic boolean Only free HighAtomic pages are held back. Rule A4.11.
---@field alloc_limits_high_atomic_strictly boolean HighAtomic reserves stay below a hundredth of the zone. Rule A3.29.
---@field alloc_atomic_bit boolean __GFP_ATOMIC exists. Rule A9.8.
---@field log_busy_ranges boolean A contiguous allocation that fails says which range is busy. Rule P5.16.
---@field kvm_guest_memfd boolean KVM has guest_memfd. Rule P2.2.
---@field madv_nomovable boolean madvise knows MADV_NOMOVABLE, MADV_PINNABLE and MADV_MIGHT_PIN; never merged. Rule P9.20.
---@field madv_might_pin integer Of a hundred pages with MADV_MIGHT_PIN, those for which the hint is followed. Rule P9.22.
---@field cma_disable_borrow boolean Nobody borrows pages of CMA; never merged. Rule P9.24.
---@field revoke "off"|"forced" Whether cma_alloc and offline demand pages back from devices that pin them; never merged. Rule P9.11.
---@field pcp_regime "fixed"|"lowWatermark"|"autoTuned" How per-CPU lists are sized, filled and flushed. Rule A9.7.
---@field pcp_high_orders boolean Orders 1 to 3 go through the per-CPU lists. Rule A9.2j.
---@field pcp_decays_in_batches boolean The decay of pcp->high frees in batches. Rule A5.26.
local kernel = {}

---Every switch of the kernel with its value, the values it may have, and its rule.
---@return listing # A row for each: name, value, values, doc, rule, read_at.
function kernel:switches() end

---Somebody who holds memory of a guest for a device: a container, a ring, a region.
---@class device
---@field kind string v1, v2, iommufd, rdma, odp, io_uring or spapr.
---@field name string Who it is, for why.
---@field guest guest Whose memory it reaches.
---@field mappings table Its mappings, oldest first.
---@field pages integer Pages that it maps.
---@field account string Where its pages count: locked_vm, pinned_vm, user or none.
---@field charged integer Pages that it counts there.
---@field revoked table complied, refused: pages that the kernel asked back (switch revoke, rule P9.11).
local device = {}

---@class device.map.fields
---@field from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@field length? integer|number|string How much, rounded up to whole pages.
---@field iova? integer|number|string Where the device sees it.
---@field write? boolean The device may write.
---@field max_rounds? integer After so many rounds of pin and migrate in one call it is killed and called a livelock.

---Gives the device a range of the guest's memory; all or nothing.
---
---Also VFIO_IOMMU_MAP_DMA, ib_reg_mr, IORING_REGISTER_BUFFERS, VFIO_IOMMU_SPAPR_REGISTER_MEMORY.
---@param fields? device.map.fields
---@return mapping? # 
function device:map(fields) end

---@class device.unmap.fields
---@field iova? integer|number|string Where the range begins.
---@field length? integer|number|string How much of the device's addresses.

---Takes a range of iova away from the device and gives its pages back.
---
---Version 1 of VFIO answers with what it found, also 0 bytes, or more than was asked for.
---@param fields? device.unmap.fields
---@return table? # size, lookups, iommu_unmaps, syncs, unpin_atomics: what was unmapped and how.
function device:unmap(fields) end

---Counts the IOMMU's page table: each run is mapped in pages as large as fit.
---@return table? # small, large, gigantic: entries of 4 KiB, 2 MiB and 1 GiB; tables and bytes of the table.
function device:iommu() end

---Unplugs the device: everything is unmapped and given back. The object is stale afterwards.
---
---Nothing moves back: pages that left CMA for a pin stay where they are.
---@return table # As of unmap.
function device:close() end

---A range that a device may reach, and what mapping it cost.
---@class mapping
---@field id integer Its number.
---@field pages integer Its pages.
---@field runs integer Runs of neighbouring frames.
---@field iommu_maps integer Calls that map into the IOMMU.
---@field records integer Records of the driver's list: segments, vectors, runs or slots.
---@field bytes integer Bytes of these records.
---@field charged integer Pages counted against a limit.
---@field corrupted integer Pages that RFC2015 took off a list without their flag (I4).
---@field foreign integer Pages for which the device got another frame than the guest shows (vfio_skip_tails, I7).
---@field users integer Users of a registered region.
---@field repins integer Pages that were unpinned, and pinned again at once.
---@field frame_lookups integer Looks for frames of device memory, which no pin holds.
---@field page_size integer Of a registered region: the largest IOMMU page that all of it allows.
---@field tce_entries integer Entries of TCE tables that name pages of a registered region.
---@field calls integer Calls that pinned it.
---@field migrated integer Pages of 4 KiB that were moved before.
---@field rounds integer Rounds of pin, check and migrate.
---@field iova integer Where the device sees it.
---@field coalesced boolean One pin a folio (io_uring).
---@field pin pin The pin of its pages; nil when none is pinned.
---@field invalidated integer On demand: entries that the kernel took back.
---@field costs table What mapping it did, as pin.costs.
---@field ns integer An estimate of how long it took, in nanoseconds.
local mapping = {}

---Gives the mapping back; of a registered region, one user. The object is stale afterwards.
---
---VFIO keeps no list of pages: it reads the frames back from the IOMMU's table, a page at a time, and unpins them a page at a time.
---@return table? # size, lookups, iommu_unmaps, syncs, unpin_atomics.
function mapping:unmap() end

---@class mapping.access.fields
---@field from? integer|number|string An offset into the guest's RAM, such as "2M", or an address.
---@field length? integer|number|string How much, rounded up to whole pages.

---The device reaches for pages on demand; only of rdma{ odp = true }.
---@param fields? mapping.access.fields
---@return table? # hits, faults, refaults.
function mapping:access(fields) end

---The frames as runs of neighbours, in the order of the device's addresses.
---@param count? integer How many at the most.
---@return listing # A row for each run: offset, pfn, pages.
function mapping:frames(count) end

---What the device reaches at an offset: the physical address of the page, plus the rest.
---@param offset integer|number|string An offset into the mapping.
---@param page_size? integer|number|string The IOMMU page that is to be entered; a registered region may allow less.
---@return integer? # The physical address behind it.
function mapping:lookup(offset, page_size) end

---Of a registered region: sets the dirty bit of a slot, as the real-mode code does when a guest maps it for writing; the page becomes dirty when the region is given back.
---@param offset integer|number|string An offset into the mapping.
---@return boolean? # 
function mapping:mark_dirty(offset) end

---What one function did on several kernels: c[i] is row i, #c their number.
---@class comparison
---@field columns table The names of the columns.
---@field differences table The names of the columns that differ.
local comparison = {}

---The row of a kernel.
---@param kernel string The name of a kernel.
---@return table # Its row; nil when there is none.
function comparison:row(kernel) end

---The same rows with a few columns, for a narrow table.
---@param columns table Names of columns, in the order in which to show them.
---@return comparison # 
function comparison:only(columns) end

---All columns as comma-separated values, with a header.
---@return string # 
function comparison:csv() end

---All columns as a JSON array with an object for each kernel, counters included.
---@return string # 
function comparison:json() end

---A function that is run one atomic step at a time.
---@class task
---@field done boolean Whether it has come to its end.
---@field waiting boolean Whether another task must do something first.
---@field steps integer Steps taken so far.
---@field results table What its calls came to, as texts, in their order.
local task = {}

---Takes the next step. A task that waits stays where it is, one that spins tries again.
---@param count? integer Steps.
---@return task # Itself, at the next step.
function task:next(count) end

---Takes steps until the next one has this name, or belongs to this kernel function.
---
---It stops, too, where the task waits for another. (`until` is a word of Lua's own.)
---@param name string A step such as "g6", or a kernel function.
---@return task # Itself, in front of that step, or at its end.
function task:to(name) end

---Takes all steps that are left, or those up to where it waits for another task.
---@return task # Itself, at its end.
function task:run() end

---The step that comes next.
---@return table # task, cpu, operation, id, func (the kernel's), text (what it is about to read or write), waits (for what, in words); nil at the end.
function task:where() end

---Ends the call that is under way as a fatal signal does; the function ends there.
function task:kill() end

---What a search of many orders of steps found.
---@class exploration
---@field schedules integer Orders that were run to their end.
---@field covered integer All orders that these stand for.
---@field steps integer Steps taken in all.
---@field memory_states integer Different states of memory at the ends.
---@field complete boolean Whether all orders that were asked for were looked at.
---@field end_states table What came out: text, count, and schedule, the first order that led there.
---@field ends string The texts of `end_states`, sorted, with "; " between them.
---@field broken table Broken invariants: text, count, and schedule, the order with the fewest preemptions.
local exploration = {}

---What differs between two machines.
---@class difference
---@field moved integer Pages of guests that lie in other frames.
---@field appeared integer Pages that were not present before.
---@field gone integer Pages that are not present any more.
---@field frames integer Frames whose state or counts differ.
---@field same boolean Whether nothing differs.
---@field pages table The first thousand such pages: guest, address, before, now (pfns).
---@field counts table By name, by how much each counter differs.
---@field holders table Processes, pins and references: + new, - gone.
local difference = {}

---Memory that a guest reaches and its process does not.
---@class guest_memfd
---@field name string Its name.
---@field size integer Bytes.
---@field allocated integer Pages that it has.
local guest_memfd = {}

---Allocates a range ahead (fallocate).
---@param from? integer|number|string An offset into the file.
---@param length? integer|number|string How much.
---@return integer? # Pages that are there now.
function guest_memfd:allocate(from, length) end

---The guest reaches for a range: KVM looks its pages up, and allocates those that are missing.
---
---Its tables hold no reference afterwards; a hole takes them away first.
---@param from? integer|number|string An offset into the file.
---@param length? integer|number|string How much.
---@return integer? # Pages that the guest reached.
function guest_memfd:access(from, length) end

---Frees a range, after the guest's tables have lost it (FALLOC_FL_PUNCH_HOLE).
---@param from? integer|number|string An offset into the file.
---@param length? integer|number|string How much.
---@return integer? # Pages that were freed.
function guest_memfd:punch_hole(from, length) end

---What a process gets that tries to map it: nothing, so no pin can name its pages.
---@param guest guest Whose process asks.
---@return integer? # Never: it is refused.
function guest_memfd:mmap(guest) end

---The page at an offset.
---@param from integer|number|string An offset.
---@return page # nil where nothing is allocated.
function guest_memfd:page(from) end

---Closes it; its pages are freed. The object is stale afterwards.
function guest_memfd:close() end

---@class machine.fields
---@field ram? integer|number|string Memory of a machine with one node.
---@field nodes? table Memory of each node, for example { "2G", "2G" }.
---@field cpus? integer CPUs, spread evenly over the nodes.
---@field arch? "x86_64"|"ppc64" x86_64 has 4 KiB pages and 2 MiB pageblocks, ppc64 64 KiB and 16 MiB.
---@field cma? any A CMA area as `cma=` makes it: a size or "N%" of memory, or a list of { name, size, base, order_per_bit }, base a pfn, order_per_bit how many pages a bit of its map stands for, as an order.
---@field kernelcore? any Size or "N%" that is kept out of ZONE_MOVABLE.
---@field movablecore? any Size or "N%" of ZONE_MOVABLE.
---@field kernel? any Whose rules apply: a kernel, or the name of one; see kernels().
---@field thp? "always"|"madvise"|"never" transparent_hugepage/enabled. Huge pages raise the watermarks; below 512 MiB they are off.
---@field min_free_kbytes? integer vm.min_free_kbytes, written right after boot.
---@field config_cma? boolean CONFIG_CMA; stock Debian kernels lack it.
---@field distances? table NUMA distances, a list of lists.
---@field hugepages? any Huge pages that boot takes, as `hugepages=`: a count, or a list with one for each node.
---@field hugetlb_cma? any CMA areas hugetlb0, hugetlb1, … for gigantic pages, as `hugetlb_cma=`: a size, spread over the nodes, or a list with one for each node.
---@field from? string What `m:save(file)` wrote, a recording (.jsonl, .jsonl.gz), or a folder written by `pinlab capture`.
---@field kvm_cma_resv_ratio? integer Per cent of memory that a ppc64 host sets aside as area kvm_cma for its guests' hash page tables; the kernel's default is 5.
---@field swap? integer|number|string Swap space, on a device that writes at once, as zram does.
---@field lru_gen? boolean The multi-generational LRU. Without it a second access queues a page for activation (P1.27).

---Boots a modelled machine, or takes one from a file.
---
---Zones, watermarks, per-CPU lists and the order of the free lists are those that Linux 6.12 would leave after boot. With `from`, the machine is in the state that was saved, recorded or captured, and only `kernel` may be given besides.
---@param fields? machine.fields
---@return machine # 
function machine(fields) end

---The kernels that a machine can run, oldest first: releases, and patches that were proposed.
---
---The number in brackets is the thread that argues about it: 000 the helper of 2018, 001 the series of 2020, 002 the endless pin of 2024, 003 the patch of 2015, 004 the advice of 2022.
---@return listing # A row for each: name, release, year, first_release, commits, special, threads, kernel.
function kernels() end

---@class kernel.fields
---@field base? string The name of a kernel, see kernels().
---@field name? string What it is called in tables.
---@field lt_check? "none"|"cmaBlock"|"mtMovable"|"zoneOrCma"|"zoneAndCma"|"pinnable519" Which folios a long-term pin may not stay on. Rule P3.4.
---@field lt_users? "none"|"spapr"|"gup" Whose pins are checked at all. Rule P3.58.
---@field lt_fast_check? "absent"|"cma"|"same" What the fast walk tests. Rule P3.32.
---@field lt_scan? "perPage"|"compoundStep"|"headCompare"|"pfnRange" Which entries of the output the check looks at. Rule P3.44.
---@field lt_on_migrate_fail? "pinAnyway"|"error" What a failed migration means. Rule P3.50.
---@field lt_on_isolate_fail? "ignoreIfListEmpty"|"retryForever" What it means that nothing could be isolated. Rule P3.43.
---@field lt_drain? "localOnly"|"allIfNotLRU"|"refcountPlusOne"|"refcountLocalThenAll" When the LRU batches are drained. Rule P3.45.
---@field lt_isolate_inverted? boolean The test after isolation is the wrong way round. Rule P3.46.
---@field lt_dest? "ppcGfpUserNoretry"|"gfpUserThisnode"|"gfpUser"|"gfpUserMovableNoCma" How frames to move to are asked for. Rule P4.8.
---@field lt_scope? "none"|"nocmaSlowpathOnly"|"nocma"|"pin" What allocations lose inside a long-term pin. Rule P2.34.
---@field lt_compound? "skip"|"move" Whether compound pages are moved. Rule P3.56.
---@field lt_reason? "contig_range"|"longterm_pin" The reason that trace events print. Rule P3.59.
---@field lt_check_array? boolean The check allocates an array of pointers by kmalloc, 4 MiB at most. Rule P3.48.
---@field lt_batched_unpin? boolean A failed round unpins folio by folio instead of page by page. Rule P8.3.
---@field gup_slow_batch? boolean The slow walk takes a leaf at once. Rule P3.21.
---@field gup_slow_grab_checks_zone? boolean The grab of the rest of a leaf refuses folios that may not stay. Rule P3.23.
---@field gup_unpin_batch? boolean Unpinning goes folio by folio. Rule P3.80.
---@field gup_vmas_array? boolean An array of VMAs beside the array of pages. Rule P3.48.
---@field gup_counting? "references"|"pins" Whether pins are counted, or are plain references. Rule P1.3.
---@field gup_unshare? "none"|"anonymous"|"all" When a read pin gets a private copy first. Rule P3.14.
---@field gup_refuses_dirty_tracking? boolean No long-term write pin of a shared file that tracks dirty pages. Rule P3.13.
---@field gup_walker? "rescan"|"integrated" Whether the walker tests each page as it finds it. Rule P3.60.
---@field gup_output? "pages"|"scatter" Whether the walker writes pointers or a scatter list. Rule P7.51.
---@field bug_zero_page_unpinnable? boolean The page of zeros may not stay pinned. Rule P3.5.
---@field mig_mode? "classic10"|"batch3plus7" How migrate_pages goes over its list. Rule P4.1.
---@field mig_split_retry_longterm? boolean Whether a split that found a reference is tried again. Rule P4.9.
---@field vfio_batch? integer Pages that VFIO pins in one call. Rule P7.3.
---@field vfio_skip_tails? boolean VFIO pins no page behind the first of a compound page, and maps the frames that follow; never merged. Rule P7.9.
---@field spapr_pin? "plain"|"rfc2015"|"pageByPage"|"helper"|"longTerm" What powerpc does before it keeps a guest's pages. Rule P3.56.
---@field lru_batch_size? integer Folios in an LRU batch. Rule P1.20.
---@field lru_clear_flag_on_queue? boolean A folio that waits in a batch loses its LRU flag. Rule P1.26.
---@field thp_pcp_lists? integer Per-CPU lists for pages of 2 MiB: none, one for all types, two. Rule P2.35.
---@field alloc_fallback? "moveAndRetry"|"single"|"claimThenSteal" Which block a request takes when its own lists are empty. Rule A9.5.
---@field alloc_cma_first? boolean Movable requests take CMA first while more than half of the free memory is CMA. Rule A9.3g.
---@field alloc_inserts_at_head? boolean Blocks that are moved or put back go to the head of a list. Rule A9.2a.
---@field alloc_merges_across_types? boolean Whole pageblocks merge across types, but for isolated ones. Rule A9.2p.
---@field alloc_wakes_without_boost? boolean A fallback wakes kswapd even when nothing was boosted. Rule A9.2q.
---@field alloc_harder? boolean __GFP_ATOMIC stands for ALLOC_HARDER. Rule A9.8.
---@field alloc_compares_unsigned? boolean A negative number of usable pages passes the first test of order 0. Rule A9.2v.
---@field alloc_types_follow_pageblocks? boolean A page's type is always its pageblock's. Rule A9.6.
---@field alloc_empty_zone_drops_reserve? boolean An empty upper zone zeroes the reserve of the lower zones. Rule A9.2e.
---@field alloc_high_atomic_needs_high? boolean HighAtomic blocks want __GFP_HIGH. Rule A9.2t.
---@field alloc_non_blocking_takes_high_atomic? boolean Non-blocking requests may take HighAtomic blocks last. Rule A3.28.
---@field alloc_counts_free_high_atomic? boolean Only free HighAtomic pages are held back. Rule A4.11.
---@field alloc_limits_high_atomic_strictly? boolean HighAtomic reserves stay below a hundredth of the zone. Rule A3.29.
---@field alloc_atomic_bit? boolean __GFP_ATOMIC exists. Rule A9.8.
---@field log_busy_ranges? boolean A contiguous allocation that fails says which range is busy. Rule P5.16.
---@field kvm_guest_memfd? boolean KVM has guest_memfd. Rule P2.2.
---@field madv_nomovable? boolean madvise knows MADV_NOMOVABLE, MADV_PINNABLE and MADV_MIGHT_PIN; never merged. Rule P9.20.
---@field madv_might_pin? integer Of a hundred pages with MADV_MIGHT_PIN, those for which the hint is followed. Rule P9.22.
---@field cma_disable_borrow? boolean Nobody borrows pages of CMA; never merged. Rule P9.24.
---@field revoke? "off"|"forced" Whether cma_alloc and offline demand pages back from devices that pin them; never merged. Rule P9.11.
---@field pcp_regime? "fixed"|"lowWatermark"|"autoTuned" How per-CPU lists are sized, filled and flushed. Rule A9.7.
---@field pcp_high_orders? boolean Orders 1 to 3 go through the per-CPU lists. Rule A9.2j.
---@field pcp_decays_in_batches? boolean The decay of pcp->high frees in batches. Rule A5.26.

---A kernel, maybe with some switches turned: kernel{ base = "5.10", lt_on_migrate_fail = "error" }.
---
---Each switch is one change of the kernel's history; kernel("6.12"):switches() lists them.
---@param fields? kernel.fields
---@return kernel # 
function kernel(fields) end

---Runs a function on several kernels, each time on a fork of the same machine.
---
---The table has a line for each kernel. When f returns nil, err, its errno stands in `errno`; when it returns a table with named fields, each is a column; anything else is the `result`. Columns that are empty or 0 everywhere are not printed. What differs from the last line is in another color, or has a * behind it where there are no colors; c.differences names such columns, and c:csv() and c:json() have values alone. What is wider than the terminal goes on below; c:only{ "moved", "errno" } prints the columns that you name.
---
---Columns of every comparison: moved, failed, thp_moved, thp_failed, split (what /proc/vmstat counted), in_cma and in_movable (pages of guests there at the end), pinned_cma and pinned_movable (pages of pins there), pinned, and the costs of all pins: rounds, calls, walks, entry_reads, pin_atomics, array_writes, rescan_reads, lookups, unpin_atomics. A row also has `vmstat`, everything that changed.
---@param kernels any A list of kernels or of their names; "all" for every one.
---@param f function Gets a machine; what it returns is the result.
---@param options? table start, a machine whose state each run begins with; without it 2 GiB with 1280 MiB of CMA.
---@return comparison # 
function compare(kernels, f, options) end

---The bytes of a size. Units are powers of 1024: K, M, G, T, with or without iB.
---@param text integer|number|string A size such as "1.5G".
---@return integer # Bytes.
function size(text) end

---Prints what came out, and fails when it is not what was expected.
---
---For scenarios: a script with an expectation that fails ends with exit status 1. Under another kernel, `pinlab scenarios run --kernel`, it only says so and returns false.
---@param what string What is compared, in words.
---@param got any What came out.
---@param wanted any What ought to.
---@return boolean # Whether they are the same.
function expect(what, got, wanted) end

---Runs a function one atomic step at a time: each call of a machine in it stops between its steps.
---
---Several of them are tasks on different CPUs, as far as the machine has CPUs; stepping them by hand is choosing the order in which they meet. Lua code between two calls runs with the step before it. Calls that change a machine and have no steps of their own are one step.
---@param f function What the task does.
---@return task # Stands in front of the first step.
function step(f) end

---@class explore.fields
---@field tasks table Two or more functions, each a task on a CPU of its own.
---@field machine? machine What they work on.
---@field setup? function Called once, first. What it returns, the machine first, is what each task is called with.
---@field invariant? any A function that is called at each end and returns true, or false and why not; or the invariants to look at: "I1", or a list. I1, I2, I4 and counts unless given.
---@field search? "exhaustive"|"random"|"pct" Every order; any order; random priorities.
---@field preemptions? integer How often a task that could go on is left. Tasks that wait or spin are left for free.
---@field seed? integer Of random and pct.
---@field changes? integer Changes of priority, for pct.
---@field schedules? integer The most orders that are run; 1000 for random and pct, unless given.
---@field budget? number Seconds after which it ends.
---@field reduce? boolean Go on only once from states that several orders lead to.
---@field progress? boolean Print a line every few seconds of how far it is.

---Runs tasks in every order of their atomic steps, and says where they end and what breaks.
---
---The machine is afterwards as it was before. Between its calls a task may look at what they returned, but not at the machine: in another order of steps that could be different. Orders are tried with 0 preemptions first, then 1, and so on; so a broken invariant comes with the order that has the fewest. Ctrl-C gives what was found so far.
---@param fields explore.fields
---@return exploration # How many orders, where they end, and which broke an invariant.
function explore(fields) end

---Runs tasks in one order of their steps, on the machine itself, and leaves it there.
---
---Behind the end of the schedule every task runs to its end. With `steps` it stops before; calls under way then end as by a fatal signal. With `step = true` they do not: they are left for stepping on by hand, in front of the step behind the schedule's or behind the first `steps` of it.
---@param schedule string As `explore` prints it: "1*12 2*30".
---@param options table tasks and machine or setup, as for explore. watch: a function that is called before each step with the task's number, the step's name, the kernel function and what it does. steps: stop after so many. step: true leaves the tasks where the schedule ends, as handles of step.
---@return table # For each task the texts of what its calls came to; with `step` its handle.
---@return machine # The machine, in the state that the order leads to.
function replay_schedule(schedule, options) end
