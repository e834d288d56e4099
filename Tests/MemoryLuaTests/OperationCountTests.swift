import LuaBridge
import Testing

/// `m.operation` numbers what changes a machine, so that "since operation N" can be found in a script.
@Suite struct OperationCountTests {
  private let session: Session

  init() {
    session = Session()
    _ = session.lua.run(
      """
      m = machine{ ram = "1G", cma = "64M", movablecore = "256M" }
      vm = m:guest{ ram = "8M", thp = "never", backing = "memfd" }
      held = m:alloc_pages(2)
      buffer = m:cma_alloc(16)
      late = m:cma_alloc(16)
      block = m:memory_blocks()[#m:memory_blocks()].block
      """)
  }

  @Test(arguments: [
    "m:alloc_pages()", "held:free()", "m:drain()", #"m:drain(m:zone("DMA32"))"#, "m:fold()",
    "m:fold(0)", "m:tick(3)", "m:cma_alloc(16)", "m:cma_alloc(1 << 20)", "buffer:release()",
    "m:cma():release(late.pfn, 16)", "m:offline(block)",
    "m:hugepages{ count = 2 }", "m:hugepages{ overcommit = 2 }", #"m:thp("never")"#,
    #"m:sysctl("min_free_kbytes", 4096)"#, #"m:guest{ ram = "1M" }"#, "vm:populate()",
    "vm:write()", "vm:read(0)", #"vm:mmap{ length = "4K" }"#, "vm:munmap()", #"vm:mprotect("r")"#,
    #"vm:madvise("dontneed")"#, "vm:mlock()", "vm:munlock()", #"vm:fork("child")"#,
    #"vm:pin{ length = "4K" }"#, #"vm:memfd_pin{ length = "4K" }"#, "m:temp_ref(held)",
    "m:drain_lru()", "vm:exit()",
  ])
  func counts(_ line: String) {
    let before = session.shown("m.operation")
    let shown = session.shown(line)
    #expect(!shown.contains("stdin"), "\(shown)")
    #expect(session.shown("m.operation - \(before)") == "1", "\(line)")
  }

  @Test(arguments: [
    "m:hugepages()", #"m:sysctl("min_free_kbytes")"#, "m:vmstat()", "m:why(held)", "m:map()",
    "m:check()", "m:fork()", "vm:resident()", "m:memory_blocks()", "m:free_pages(held.pfn + 1)",
    "m:lru()", "m:drain_lru(7)",
  ])
  func onlyReads(_ line: String) {
    let before = session.shown("m.operation")
    _ = session.shown(line)
    #expect(session.shown("m.operation") == before, "\(line)")
  }

  /// Rule 12 of docs/fidelity.md: the kernel's count is an unsigned long.
  @Test func promisesTakenBackTwiceWrap() {
    _ = session.lua.run(
      """
      m:hugepages{ count = 8 }
      a = vm:mmap{ length = "4M", backing = "hugetlb", shared = false }
      vm:write(a, "4M")
      p = vm:pin{ from = a, length = "4M" }
      vm:munmap(a, "4M")
      """)
    #expect(session.shown("m:hugepages().reserved") == "-2")
    #expect(
      session.shown(#"m:meminfo():match("Rsvd:%s+(%d+)\n")"#) == "\"18446744073709551614\"")
    _ = session.lua.run("p:unpin()")
    #expect(session.shown("m:hugepages().reserved") == "0")
  }
}
