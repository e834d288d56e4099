import GoldenTesting
import MemoryModel
import MemoryOperations
import MemoryRender
import Testing

@Suite struct TraceTextTests {
  @Test func everyKind() throws {
    var machine = try Machines.booted([16 << 20])
    // Kernel blocks until they spill over into movable pageblocks, then some go back.
    var held: [PFN] = []
    while let pfn = machine.allocatePages(order: 3, gfp: [.kernel, .comp]).pfn {
      held.append(pfn)
    }
    for pfn in held { try machine.freePages(pfn, order: 3) }
    machine.drainAllPages()
    let text = TraceText.lines(machine)
    for name in [
      "mm_page_alloc", "mm_page_free", "mm_page_alloc_zone_locked", "mm_page_pcpu_drain",
      "mm_page_alloc_extfrag",
    ] {
      #expect(text.contains(": \(name): "), "\(name)")
    }
    #expect(
      text.contains(
        "mm_page_alloc: page=0000000000000000 pfn=0x0 order=3 migratetype=0 gfp_flags=GFP_KERNEL|"))
  }

  @Test func fewEvents() throws {
    var machine = try Machines.booted([1 << 30], hasCMA: false)
    let page = machine.allocatePages(order: 0, gfp: .highUserMovable).pfn!
    try machine.freePages(page, order: 0)
    let block = machine.allocatePages(order: 4, gfp: .kernel).pfn!
    try machine.freePages(block, order: 4)
    machine.drainAllPages()
    expectGolden(TraceText.lines(machine, header: true), "trace")
    #expect(TraceText.lines(machine, from: machine.trace.total).isEmpty)
  }

  @Test func contiguousAreas() throws {
    var machine = try Machines.booted([64 << 20], cma: 16 << 20)
    let area = machine.cmaAreas[0]
    let pages = (0..<16000).compactMap { _ in
      machine.allocatePages(order: 0, gfp: .highUserMovable).pfn
    }
    let held = pages.first { $0.index > area.base + 600 && $0.index < area.base + 900 }!
    for pfn in pages where pfn != held { try machine.freePages(pfn, order: 0) }
    machine.drainAllPages()
    machine.clearTrace()
    let buffer = try machine.cmaAllocate(area: 0, pages: 1024, alignment: 9).pfn!
    try machine.cmaRelease(area: 0, buffer, pages: 1)
    _ = try machine.cmaAllocate(area: 0, pages: 4096)
    let lines = TraceText.lines(machine).split(separator: "\n").filter {
      $0.contains(": cma_") || $0.contains(": test_pages_isolated")
    }
    expectGolden(lines.map { $0 + "\n" }.joined(), "trace-cma")
  }
}
