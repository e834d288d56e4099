import LuaBridge
import MemoryLua
import Testing

/// What can be done with a call that changes a machine: take it back and do it again, take its steps one
/// by one, and try it in every order with another task.
@Suite struct EveryCallTests {
  static let machine = """
    m = machine{ ram = "1G", cma = "64M", movablecore = "256M", swap = "32M" }
    m:hugepages{ count = 4 }
    vm = m:guest{ name = "vm", ram = "8M", thp = "never", backing = "memfd" }
    an = m:guest{ name = "an", ram = "4M", thp = "always" }
    vm:populate() an:populate()
    held = m:alloc_pages(2)
    buffer = m:cma_alloc(16)
    late = m:cma_alloc(16)
    f = m:file{ name = "log", size = "256K" } f:read()
    d = vm:vfio() mp = d:map{ length = "64K" }
    demand = vm:rdma{ odp = true } mo = demand:map{ length = "64K", iova = "1M" }
    p = vm:pin{ length = "4K", from = "1M" }
    region = vm:spapr():map{ length = "16K", from = "5M" }
    t = m:temp_ref(vm:page("2M"))
    i = m:isolate(vm:page("3M"))
    s = m:pressure("128K")
    block = 5
    g = vm:guest_memfd{ size = "64K" } g:allocate(0, "32K")
    """
  static let powerpc = """
    m = machine{ ram = "4G", arch = "ppc64", kvm_cma_resv_ratio = 5 }
    vm = m:guest{ ram = "256M" }
    """

  /// By the function's name in the declarations, what calls it.
  static let operations: [(name: String, call: String)] = [
    ("machine.alloc_pages", "m:alloc_pages(3)"), ("machine.free_pages", "m:free_pages(held)"),
    ("guest_memfd.allocate", "g:allocate()"), ("guest_memfd.access", "g:access(\"32K\", \"8K\")"),
    ("machine.drain", "m:drain()"), ("machine.fold", "m:fold()"), ("machine.tick", "m:tick(3)"),
    ("machine.hugepages", "m:hugepages{ count = 6 }"),
    ("machine.cma_alloc", "m:cma_alloc(64)"), ("machine.offline", "m:offline(block, 2)"),
    ("machine.online", "m:online(block)"), ("machine.compact", "m:compact()"),
    ("machine.reclaim", "m:reclaim{ bytes = \"64K\" }"),
    ("machine.pressure", "m:pressure(\"32K\")"), ("machine.drop_caches", "m:drop_caches()"),
    ("machine.temp_ref", "m:temp_ref(vm:page(0))"), ("machine.isolate", "m:isolate(an:page(0))"),
    ("machine.drain_lru", "m:drain_lru()"),
    ("machine.sysctl", "m:sysctl(\"min_free_kbytes\", 4096)"),
    ("machine.vfio", "m:vfio{ guest = an }"), ("machine.iommufd", "m:iommufd{ guest = an }"),
    ("machine.rdma", "m:rdma{ guest = an }"), ("machine.io_uring", "m:io_uring{ guest = an }"),
    ("machine.spapr", "m:spapr{ guest = an }"), ("machine.hpt", "m:hpt{ guest = vm }"),
    ("page.free", "held:free()"),
    ("guest.populate", "vm:mmap{ address = 0x100000, length = \"16K\" } vm:populate(0x100000)"),
    ("guest.touch", "an:madvise(\"dontneed\", 0, \"8K\") an:touch(0, \"8K\")"),
    ("guest.write", "an:write()"), ("guest.read", "vm:read()"),
    ("guest.mmap", "an:mmap{ length = \"16K\", populate = true }"),
    ("guest.munmap", "an:munmap(0, \"4K\")"),
    ("guest.madvise", "an:madvise(\"dontneed\", 0, \"1M\")"),
    ("guest.madvise", "an:madvise(\"cold\")"), ("guest.madvise", "an:madvise(\"hugepage\")"),
    (
      "guest.madvise",
      "local a = an:mmap{ length = \"8K\" } an:madvise(\"populate_write\", a, \"8K\")"
    ),
    ("guest.mprotect", "an:mprotect(\"r\", 0, \"2M\")"), ("guest.mlock", "an:mlock(0, \"16K\")"),
    ("guest.munlock", "an:mlock(0, \"16K\") an:munlock(0, \"8K\")"),
    ("guest.migrate", "vm:migrate(0, \"16K\")"),
    ("guest.move_pages", "an:move_pages{ node = 0, length = \"8K\" }"),
    ("guest.fork", "an:fork(\"child\")"), ("guest.exit", "vm:exit()"),
    ("guest.pin", "an:pin{ length = \"8K\", longterm = true }"),
    ("guest.memfd_pin", "vm:memfd_pin{ length = \"8K\" }"), ("guest.memlock", "vm:memlock(\"1G\")"),
    ("guest.vfio", "an:vfio():map{ length = \"8K\" }"), ("guest.iommufd", "an:iommufd()"),
    ("guest.rdma", "an:rdma()"), ("guest.io_uring", "an:io_uring()"), ("guest.spapr", "an:spapr()"),
    ("pin.unpin", "p:unpin()"), ("temp_ref.release", "t:release()"),
    ("isolation.put_back", "i:put_back()"),
    ("cma_area.release", "m:cma():release(late.pfn, 16)"),
    ("cma_buffer.release", "buffer:release()"),
    ("file.read", "m:drop_caches(1) f:read()"), ("file.write", "f:write()"),
    ("file.sync", "f:write(0, \"8K\") f:sync()"), ("file.unlink", "f:unlink()"),
    ("pressure.release", "s:release()"),
    ("device.map", "d:map{ from = \"4M\", length = \"8K\", iova = \"16M\" }"),
    ("device.unmap", "d:unmap{ iova = 0, length = \"64K\" }"), ("device.close", "d:close()"),
    ("mapping.unmap", "mp:unmap()"), ("mapping.access", "mo:access{ length = \"16K\" }"),
  ]

  /// What sets a machine up: it has no steps, and stands before `explore`.
  static let settings: [(name: String, call: String)] = [
    ("machine.hugepages", "m:hugepages{ overcommit = 2 }"),
    ("machine.file", "m:file{ size = \"4K\" }"),
    ("machine.guest", "m:guest{ ram = \"1M\" }"), ("machine.kernel", "m:kernel(\"5.10\")"),
    ("machine.thp", "m:thp(\"never\")"),
    ("machine.protection", "m:protection(\"reread_entry\", false)"),
    ("machine.trace", "m:trace{ clear = true }"),
    ("machine.dmesg", "m:cma_alloc(\"900M\") m:dmesg{ clear = true }"),
    ("mapping.mark_dirty", "region:mark_dirty(0)"),
    // What a guest does to its own memory goes through no page table of the host.
    ("guest.guest_memfd", "an:guest_memfd{ size = \"64K\" }"),
    ("guest_memfd.punch_hole", "g:punch_hole(0, \"16K\")"), ("guest_memfd.close", "g:close()"),
  ]

  /// What changes no machine.
  static let reading: Set<String> = [
    "machine.meminfo", "machine.cma", "machine.cma_areas", "machine.cma_buffers",
    "machine.memory_blocks", "machine.why_busy", "machine.pressures", "machine.files",
    "machine.oom_scores", "machine.guests", "machine.why", "machine.folio", "machine.temp_refs",
    "machine.lru", "machine.pins", "machine.devices", "machine.zones", "machine.zone",
    "machine.nodes", "machine.node", "machine.page", "machine.pageblock", "machine.map",
    "machine.buddyinfo", "machine.pagetypeinfo", "machine.zoneinfo", "machine.vmstat",
    "machine.check", "machine.fork", "machine.diff", "machine.same", "machine.save",
    "machine.tasks", "guest.guest_memfds", "guest_memfd.page", "guest_memfd.mmap", "zone.free_list",
    "zone.pcp", "guest.resident", "guest.map", "guest.page",
    "guest.pagemap", "guest.vmas", "pin.sizes", "pin.runs", "pin.page", "cma_area.read",
    "file.page", "kernel.switches", "device.iommu", "mapping.frames", "mapping.lookup",
    "comparison.row", "comparison.only", "comparison.csv", "comparison.json",
  ]

  /// Handles of step are tasks themselves.
  static let stepping: Set<String> = [
    "task.next", "task.to", "task.run", "task.where", "task.kill",
  ]

  @Test func noneIsLeftOut() {
    let known = Set(Self.operations.map(\.name) + Self.settings.map(\.name))
      .union(Self.reading).union(Self.stepping)
    var declared: Set<String> = []
    for type in MemoryLibrary.library(MemoryContext()).types {
      for method in type.methods { declared.insert("\(type.name).\(method.name)") }
    }
    #expect(declared.subtracting(known).sorted() == [], "add them to one of the lists")
    #expect(known.subtracting(declared).sorted() == [], "there are none of these")
  }

  private func setup(_ name: String) -> String {
    name == "machine.hpt" ? Self.powerpc : Self.machine
  }

  @Test(arguments: (operations + settings).map { [$0.name, $0.call] })
  func isTakenBackAndDoneAgain(_ item: [String]) {
    let (name, call) = (item[0], item[1])
    let history = UndoHistory()
    let context = MemoryContext()
    context.history = history
    let lua = LuaSession(output: { _ in })
    lua.register(MemoryLibrary.library(context))
    func run(_ source: String) {
      let failure = lua.run(source).failure?.message
      #expect(failure == nil, "\(call): \(failure ?? "")")
    }
    run(setup(name))
    if name == "machine.online" { run("assert(m:offline(block, 2))") }
    run("before = m:fork()")
    history.begin(call)
    run(call)
    #expect(history.end() == [])
    run("after = m:fork()  assert(not m:same(before), \"it changes nothing\")")
    #expect(history.undo() == call)
    run("local same, what = m:same(before)  assert(same, what)")
    run("assert(m:diff(before).same and m:check() == true)")
    #expect(history.redo() == call)
    run("local same, what = m:same(after)  assert(same, what)")
    run("assert(m:check() == true)")
    #expect(history.undo() == call)
    // And everything that the machine holds is of use again.
    run(call)
    run("local same, what = m:same(after)  assert(same, what)")
  }

  @Test(arguments: operations.map { [$0.name, $0.call] })
  func stepsComeToTheSame(_ item: [String]) {
    let session = Session()
    let online = item[0] == "machine.online" ? "m:offline(block, 2)" : ""
    let failure = session.lua.run(
      """
      \(setup(item[0]))
      \(online)
      \(item[1])
      whole = m
      assert(not whole:same(machine{ ram = "64M" }))
      \(setup(item[0]))
      \(online)
      t = step(function() \(item[1]) end)
      assert(not t.done, "it has no steps")
      local count = 0
      while not t.done do
        local where = t:where()
        assert(where.id ~= "" and where.func ~= "" and where.text ~= "", tostring(t))
        t:next()
        assert(not t.waiting, tostring(t))
        -- What a call holds between two steps is known, and no invariant waits for its end.
        count = count + 1
        if count < 40 or count % 7 == 0 then
          local sound = m:check()
          assert(sound == true, where.id .. ": " .. tostring(sound))
        end
      end
      assert(m:check() == true, m:check())
      local same, what = m:same(whole)
      -- Page by page the trace has its lines in another order; who opens something is counted.
      assert(same or what == "trace" or what == "operation" or what == "pins", what)
      assert(m:meminfo() == whole:meminfo() and m:buddyinfo() == whole:buddyinfo())
      assert(m.cpu == whole.cpu, "the machine is on the CPU that the user chose")
      assert(#m:tasks() == 0)
      """
    ).failure
    #expect(failure == nil, "\(item[1]): \(failure?.message ?? "")")
  }

  @Test(arguments: operations.map { [$0.name, $0.call] })
  func isExplored(_ item: [String]) {
    let session = Session()
    let failure = session.lua.run(
      """
      \(setup(item[0]))
      \(item[0] == "machine.online" ? "m:offline(block, 2)" : "")
      before = m:fork()
      e = explore{ machine = m, preemptions = 1, schedules = 30, invariant = { "I2", "I4" },
        tasks = { function() \(item[1]) end, function() m:drain_lru() end } }
      assert(m:same(before), "the machine is left as it was")
      assert(#e.end_states > 0, tostring(e))
      for _, broken in ipairs(e.broken) do
        assert(not broken.text:find("failed"), broken.text)
      end
      """
    ).failure
    #expect(failure == nil, "\(item[1]): \(failure?.message ?? "")")
  }

  @Test(arguments: settings.map { [$0.name, $0.call] })
  func isRefusedInExplore(_ item: [String]) {
    let session = Session()
    let failure = session.lua.run(
      """
      \(setup(item[0]))
      before = m:fork()
      for _, first in ipairs{ "", "m:drain_lru() " } do
        -- At once, or behind a call that has steps.
        local task = load(first .. [[\(item[1])]])
        local done, found = pcall(explore, { machine = m, tasks = { task, function() end } })
        local text = done and found.broken[1].text or found
        assert(text:find("a call that has no steps; make that call before explore"), text)
        assert(m:same(before), "the machine is left as it was")
      end
      """
    ).failure
    #expect(failure == nil, "\(item[1]): \(failure?.message ?? "")")
  }
}
