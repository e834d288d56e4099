import Foundation
import GoldenTesting
import LuaBridge
import Testing

/// What people get wrong: each message names the thing, its value and the way out, and everything
/// goes on as before.
@Suite struct BadInputTests {
  /// One session for all of `lines`; `m` is a machine, `p` a page of it, `n` another machine.
  private func expectMessages(
    _ lines: [String], _ golden: String, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let session = Session()
    let made = session.lua.run(
      """
      m = machine{ ram = "64M" }
      n = machine{ ram = "64M" }
      p, q = m:alloc_pages(2), n:alloc_pages(0)
      free = m.free
      """)
    #expect(made.failure == nil)
    var text = ""
    for line in lines {
      let shown = session.shown(line)
      #expect(shown.hasPrefix("stdin:1: ") || shown.hasPrefix("nil"), "\(line) is accepted")
      text += "> \(line)\n\(shown)\n"
      let sound = session.shown("m:check() and n:check() and m.free == free")
      #expect(sound == "true", "after \(line)", sourceLocation: sourceLocation)
    }
    expectGolden(text, golden, sourceLocation: sourceLocation)
  }

  @Test func fieldsOfMachine() {
    expectMessages(
      [
        #"machine{ rma = "4G" }"#, #"machine{ Ram = "4G" }"#, #"machine("4G")"#,
        #"machine{ "4G" }"#, #"machine{ ram = {} }"#, #"machine{ ram = true }"#,
        #"machine{ arch = "x86" }"#, #"machine{ kernel = "5.0" }"#, #"machine{ kernel = 6.12 }"#,
        #"machine{ cpus = 0 }"#, #"machine{ cpus = 257 }"#, #"machine{ cpus = "2" }"#,
        #"machine{ cpus = 1.5 }"#, #"machine{ ram = "1G", nodes = { "1G" } }"#,
        #"machine{ nodes = {} }"#, #"machine{ nodes = "1G" }"#, #"machine{ nodes = { "1G", 2 } }"#,
        #"machine{ nodes = { "1G", "x" } }"#, #"machine{ thp = true }"#,
        #"machine{ distances = { { 10, 20 } } }"#,
        #"machine{ nodes = { "64M", "64M" }, distances = { { 10, 0 }, { 20, 10 } } }"#,
        #"machine{ nodes = { "64M", "64M" }, distances = { { 10, 20 }, { 20 } } }"#,
        #"machine{ min_free_kbytes = -1 }"#,
      ], "bad-machine")
  }

  @Test func sizes() {
    expectMessages(
      [
        #"machine{ ram = "1Q" }"#, #"machine{ ram = "-1G" }"#, #"machine{ ram = -4096 }"#,
        #"machine{ ram = 0 }"#, #"machine{ ram = 0.5 }"#, #"machine{ ram = "G" }"#,
        #"machine{ ram = "" }"#, #"machine{ ram = "4 x" }"#, #"machine{ ram = "3K" }"#,
        #"machine{ ram = "1000T" }"#, #"machine{ ram = "99999999P" }"#, #"machine{ ram = 2^62 }"#,
        #"machine{ ram = 1/0 }"#, #"machine{ ram = 0/0 }"#, #"size"1.0000001K""#, "size(nil)",
        #"machine{ ram = "1G", cma = "2G" }"#, #"machine{ ram = "1G", cma = "x" }"#,
        #"machine{ ram = "1G", cma = -1 }"#, #"machine{ ram = "1G", cma = { { size = "x" } } }"#,
        #"machine{ ram = "1G", cma = { { sise = "1M" } } }"#,
        #"machine{ ram = "1G", cma = { { size = "64M", bse = 1 } } }"#,
        #"machine{ ram = "1G", cma = { { size = "64M", base = 0x7fffffff } } }"#,
        #"machine{ ram = "1G", cma = { { size = "64M", base = -1 } } }"#,
        #"machine{ ram = "1G", cma = { { size = "64M", base = "x" } } }"#,
        #"machine{ ram = "1G", cma = { "64M" } }"#, #"machine{ ram = "1G", cma = true }"#,
        #"machine{ ram = "1G", kernelcore = "150%" }"#,
        #"machine{ ram = "1G", kernelcore = "x%" }"#,
        #"machine{ ram = "1G", kernelcore = "-5%" }"#,
        #"machine{ ram = "1G", movablecore = "lots" }"#,
        #"machine{ ram = "1G", config_cma = false, cma = "64M" }"#,
        #"machine{ hugetlb_cma = true }"#, #"machine{ ram = "2G", hugetlb_cma = "512M" }"#,
        #"machine{ ram = "4G", hugetlb_cma = { "1G", "1G" } }"#, #"machine{ hugetlb_cma = {} }"#,
        #"machine{ hugetlb_cma = { a = "1G" } }"#, #"machine{ hugetlb_cma = "-1G" }"#,
        #"machine{ ram = "4G", config_cma = false, hugetlb_cma = "1G" }"#,
        #"machine{ cma = { { size = "64M", order_per_bit = -1 } } }"#,
        #"machine{ cma = { { size = "64M", order_per_bit = {} } } }"#,
        #"machine{ cma = { { size = "64M", order_per_bit = 30 } } }"#,
      ], "bad-sizes")
  }

  @Test func pages() {
    expectMessages(
      [
        "m:page(-1)", "m:page(0.5)", "m:page(1e12)", "m:page(0x4000)", "m:page()",
        #"m:page("0x10")"#, "m:pageblock(1 << 40)", "m:pageblock(m)", "m:pageblock()",
        "m:free_pages()", "m:free_pages(-1)", "m:free_pages(0x10)", "m:free_pages(0)",
        "m:free_pages(p, 3)", "m:free_pages(p, 64)", "m:free_pages(p.pfn + 1)", "m:free_pages(q)",
        #"m:free_pages("p")"#, "m:free_pages({})", "m:free_pages(m)", "m:free_pages(m:zones()[1])",
        "m:page(p.pfn + 1):free()", "m.free_pages(p)", "p.free()", "p:fre()", "p.pfn = 3",
      ], "bad-pages")
  }

  @Test func doubleFree() {
    let session = Session()
    _ = session.lua.run("m = machine{ ram = '1G' } p = m:alloc_pages(2) p:free()")
    var text = ""
    for line in ["p:free()", "m:free_pages(p)", "m:drain() p:free()", "m:free_pages(p.pfn, 2)"] {
      text += "> \(line)\n\(session.shown(line))\n"
      #expect(session.shown("m:check()") == "true")
    }
    expectGolden(text, "bad-double-free")
  }

  @Test func requests() {
    expectMessages(
      [
        "m:alloc_pages(64)", "m:alloc_pages(-1)", #"m:alloc_pages("0")"#, "m:alloc_pages(1.5)",
        "m:alloc_pages(11)", "m:alloc_pages(63)", "m:alloc_pages({})", "m.alloc_pages()",
        #"m:alloc_pages(0, "__GFP_DMA|GFP_DMA32")"#,
        #"m:alloc_pages(0, "GFP_KERNEL|__GFP_MOVABLE|__GFP_RECLAIMABLE")"#,
        "m:alloc_pages(0, 0xcc0)", "m:alloc_pages(0, true)",
        #"m:alloc_pages(0, "GFP_KERNEL", 1)"#, #"m:alloc_pages(0, "GFP_KERNEL", -1)"#,
        #"m:alloc_pages(0, "GFP_KERNEL", 0, 1)"#, "m:drain(m)", "m:drain(n:zones()[1])",
        "m:drain(0)", "m:fold(1)", "m:fold(-1)", "m:tick(-1)", "m:tick(1e9)", "m.cpu = 1",
        "m.cpu = -1", "m.cpu = nil", "m.fail_allocation = -1", "m:kernel('5.0')", "m.nonsense",
        "m:nonsense()", "m.nonsense = 1",
      ], "bad-requests")
  }

  @Test func names() {
    expectMessages(
      [
        #"m:zone("normal")"#, #"m:zone("Norml")"#, "m:zone()", "m:zone(1)",
        #"m:zone("Normal", 1)"#, "m:node(1)", "m:node(-1)", #"m:sysctl("min_free")"#,
        #"m:sysctl("min_free_kbytes", "lots")"#, #"m:sysctl("min_free_kbytes", -1)"#,
        #"m:sysctl("min_free_kbytes", 1.5)"#, #"m:sysctl("min_free_kbytes", {})"#,
        #"m:sysctl("watermark_scale_factor", 0)"#,
        #"m:sysctl("percpu_pagelist_high_fraction", 3)"#,
        #"m:sysctl("lowmem_reserve_ratio", "1 2 3 4 5 6 7 8")"#, #"m:thp("on")"#, "m:thp()",
        "m:vmstat{ since = 3 }", "m:vmstat{ sinse = n }", "m:vmstat{ since = p }",
        "m:map{ columns = 5 }", "m:map{ columns = '80' }", "m:map{ colour = true }", "m:map(80)",
        "m:trace{ last = -1 }", #"m:zone("DMA32"):free_list(11, "Movable")[1]"#,
        #"m:zone("DMA32"):free_list(0, "movable")"#, #"m:zone("DMA32"):free_list(0)"#,
        #"m:zone("DMA32"):pcp(1)"#, #"m:zone("DMA32").fre"#, #"help("machin")"#,
      ], "bad-names")
  }

  @Test func guests() {
    let session = Session()
    _ = session.lua.run(
      """
      m = machine{ ram = "64M" }
      n = machine{ ram = "64M" }
      vm = m:guest{ ram = "1M", thp = "never" }
      vm:populate()
      p = vm:pin{ length = "64K" }
      """)
    var text = ""
    for line in [
      #"m:guest{ ram = "1M", name = "vm0" }"#, #"m:guest{ ram = "3K" }"#,
      #"m:guest{ ram = 4097 }"#, #"m:guest{ ram = "16T" }"#, #"m:guest{ nam = "x" }"#,
      #"m:guest{ name = "" }"#, #"m:guest("vm9")"#, #"m:guest(3)"#, #"n:guest("vm0")"#,
      #"m:guest{ backing = "disk" }"#, #"m:guest{ backing = "hugetlb", ram = "3M" }"#,
      #"m:guest{ hugepages = "2M" }"#, #"m:guest{ backing = "hugetlb", hugepages = "4M" }"#,
      #"m:guest{ shmem_thp = "always" }"#, #"m:guest{ node = 1 }"#, #"m:guest{ seed = 1 }"#,
      #"m:guest{ backing = "memfd", placement = "shuffled" }"#,
      #"n:guest{ ram = "128M", placement = "shuffled" }"#,
      #"machine{ arch = "ppc64", ram = "256M" }:guest{}"#,
      "vm:populate(1)", #"vm:populate("2M")"#, #"vm:populate(-4096)"#,
      #"vm:populate("1M", "4K")"#, #"vm:populate(0, 0)"#, #"vm:populate("512K", "1M")"#,
      "vm:populate(0x7f0000200000)", "vm:populate(1 << 60)", #"vm:populate(0, 1 << 60)"#,
      #"vm:madvise("hugepages")"#, #"vm:madvise("dontneed", "1M", "1M")"#,
      #"vm:mprotect("x")"#, #"vm:mmap{}"#, #"vm:mmap{ length = "4K", address = 1 }"#,
      #"vm:mmap{ length = "4K", address = vm.base }"#, #"vm:mmap{ length = "4K", of = 0 }"#,
      #"vm:mmap{ length = "4K", of = 0, guest = n:guest{ ram = "1M" } }"#,
      #"vm:fork("vm0")"#, "vm:pin{ from = 1 }", #"vm:pin{ lenght = "4K" }"#,
      #"vm:memfd_pin{ length = "4K" }"#, "vm:memfd_pin{ from = 1 }",
      "vm:memfd_pin{ max_folios = 0 }",
      #"m:guest{ ram = "64K", backing = "memfd" }:memfd_pin{ length = "1M" }"#,
      #"m:guest{ ram = "64K", backing = "file" }:memfd_pin()"#,
      "vm:pin{ fast = true, remote = true }", "vm:pin{ get = true, longterm = true }",
      "vm:pin{ length = 0 }", #"vm:munmap(5, "4K")"#, "vm:munmap(0, 0)",
      #"vm:madvise("cold", 0, 0)"#,
      #"vm:pin{ flags = "FOLL_TOUCH" }"#, #"vm:pin{ flags = "foll" }"#,
      #"vm:pin{ flags = "longterm|pci_p2pdma" }"#, "vm:pin{ fast_only = true }",
      #"machine{ ram = "64M" }:guest{ ram = "64K" }:pin{ fast_only = true }"#,
      #"vm:pin{ from = 0x7f0000200000, length = "4K" }"#, #"vm:pin{ output = "sgl" }"#,
      "p:page(0)", "p:page(17)", #"p:sizes{ max_segment = "1K" }"#, "p:runs(0)",
      "vm:page(1)", "m:why(1 << 40)", #"m:why("x")"#, "m:why(n:page(0x1000))",
      "m:temp_ref(m:zone('DMA32').free_list)", "m:temp_ref(0)", "m:isolate(0)",
      "m:isolate(m:isolate(vm:page(0)).page)", "m:drain_lru(1)",
      #"p:unpin() and p.pages"#, "vm:exit() vm:populate()", "tostring(vm)",
    ] {
      text += "> \(line)\n\(session.shown(line))\n"
      #expect(session.shown("m:check() and n:check()") == "true", "after \(line)")
    }
    expectGolden(text, "bad-guests")
  }

  @Test func files() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "memory-lua-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let fixture = try Data(
      contentsOf: URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../RecordingsTests/Fixtures/G-boot-10.jsonl.gz"))
    func write(_ data: Data, _ name: String) throws {
      try data.write(to: folder.appendingPathComponent(name))
    }
    try write(fixture.prefix(2000), "cut.jsonl.gz")
    try write(Data("{\"op\":\"header\"".utf8), "cut.jsonl")
    try write(Data("{\"op\":\"header\"}\n".utf8), "headless.jsonl")
    try write(Data("print(1)\n".utf8), "script.lua")
    try write(Data(), "empty.jsonl")
    try write(Data([0xFF, 0xFE, 0x00, 0x80]), "bytes.jsonl")
    try FileManager.default.createDirectory(
      at: folder.appendingPathComponent("folder"), withIntermediateDirectories: true)

    let session = Session()
    #expect(session.lua.run("m = machine{ ram = '64M' }").failure == nil)
    var text = ""
    for name in [
      "missing", "cut.jsonl.gz", "cut.jsonl", "headless.jsonl", "script.lua", "empty.jsonl",
      "bytes.jsonl", "folder", "",
    ] {
      let path = name.isEmpty ? "" : folder.path + "/" + name
      let shown = session.shown("machine{ from = \"\(path)\" }")
      text += "> \(name)\n" + shown.replacingOccurrences(of: folder.path, with: "DIR") + "\n"
      #expect(session.shown("m:check()") == "true")
    }
    text += "> with ram\n" + session.shown(#"machine{ from = "x", ram = "1G" }"#) + "\n"
    expectGolden(text, "bad-files")
  }
}
