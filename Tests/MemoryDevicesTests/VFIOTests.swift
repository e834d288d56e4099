import MemoryDevices
import MemoryOperations
import Testing

@testable import MemoryModel

extension Machine {
  /// Every page of a pin, in order.
  fileprivate func pinnedPages(_ record: PinRecord) -> [Int] {
    pinnedRuns(record).flatMap { ($0.first.index..<$0.first.index + $0.pages) }
  }
}

@Suite struct VFIOTests {
  @Test("S1.5: a page that breaks the run is pinned twice at one page a call, never at 512")
  func batches() throws {
    for (batch, calls, repins) in [(1, 1025, 1), (512, 2, 0)] {
      for pace in [Pace.slice, .step] {
        var process = try DeviceProcess(cma: 0)
        process.machine.kernel.pinning.vfioBatch = batch
        let start = try process.runs([600, 424])
        let before = process.machine.total(.pinAcquired)
        let device = process.open()
        let outcome = try process.map(device, start, 1024, pace)
        #expect(outcome.refusal == nil && outcome.costs.calls == calls)
        let found = process.machine.deviceMapping(1)
        let mapping = try #require(found).mapping
        #expect(mapping.iommuMaps == 2 && mapping.runs == 2 && mapping.repins == repins)
        let acquired = process.machine.total(.pinAcquired) - before
        #expect(acquired == 1024 + repins)
        #expect(process.sound == nil)
      }
    }
  }

  @Test("P7.3: a batch of a single page at the end is forgotten, a larger one is not")
  func lastBatch() throws {
    for (lengths, repins) in [
      ([512, 1], 1), ([511, 2], 0), ([513, 1], 0), ([1024, 1, 1], 0), ([1, 512], 0),
    ] {
      var process = try DeviceProcess(cma: 0)
      let pages = lengths.reduce(0, +)
      let start = try process.runs(lengths)
      let device = process.open()
      let mapping = try process.mapped(device, start, pages)
      #expect(mapping.repins == repins, "\(lengths)")
      #expect(mapping.iommuMaps == lengths.count, "\(lengths)")
      #expect(mapping.costs.calls == (pages + 511) / 512 + repins, "\(lengths)")
    }
  }

  @Test("P7.2: without huge pages every page is a call, a run and a map of its own")
  func withoutHugePages() throws {
    var process = try DeviceProcess(cma: 0)
    let start = try process.runs([600, 424])
    let device = process.open(disablesHugePages: true)
    let mapping = try process.mapped(device, start, 1024)
    #expect(mapping.costs.calls == 1024 && mapping.iommuMaps == 1024 && mapping.repins == 0)
    // The IOMMU still holds neighbours, and an unmap finds them.
    let done = try process.unmap(device)
    #expect(done.iommuUnmaps == 2 && done.lookups == 1025)
    #expect(process.leftovers == nil)
  }

  @Test("P7.2, P8: slices are the steps, at every batch and share of huge pages")
  func paces() throws {
    for batch in [1, 512] {
      for thp in [false, true] {
        for inCMA in [false, true] {
          var stepped = try DeviceProcess(megabytes: 256, cma: inCMA ? 160 : 0, thp: thp)
          stepped.machine.kernel.pinning.vfioBatch = batch
          // Not aligned to a huge page at either end.
          let start = try stepped.populated(2048) + 300
          var sliced = try DeviceProcess(stepped)
          let device = stepped.open()
          _ = sliced.open()
          let one = try stepped.map(device, start, 1500, .step)
          let many = try sliced.map(device, start, 1500, .slice)
          let label: Comment = "batch \(batch), thp \(thp), CMA \(inCMA)"
          #expect(one == many && one.refusal == nil, label)
          #expect(
            stepped.machine.devices.attachments == sliced.machine.devices.attachments, label)
          // Calls of one page write a huge page down page by page.
          let pages = stepped.machine.pinnedPages(stepped.machine.pins[0])
          let others = sliced.machine.pinnedPages(sliced.machine.pins[0])
          #expect(pages == others && pages.count == 1500, label)
          #expect(stepped.sound == nil && sliced.sound == nil, label)
          let first = try stepped.unmap(device, nil, .step)
          let second = try sliced.unmap(device)
          #expect(first == second, label)
          #expect(stepped.leftovers == nil, label)
        }
      }
    }
  }

  @Test("P8 D1: page at a time, each page of a huge page is a walk of its own")
  func costs() throws {
    var process = try DeviceProcess(cma: 0, thp: true)
    process.machine.kernel.pinning.vfioBatch = 1
    let start = (try process.populated(2048) + 511) & ~511
    let device = process.open()
    let mapping = try process.mapped(device, start, 1024)
    #expect(mapping.costs.calls == 1024 + mapping.repins)
    #expect(mapping.costs.walks == mapping.costs.calls)
    #expect(mapping.costs.entryReads == 4 * mapping.costs.calls)
    #expect(mapping.costs.pinAtomics == 2 * mapping.costs.calls)
    // Still page by page in 6.12 (rule P8.5).
    let done = try process.unmap(device)
    #expect(done.costs.unpinAtomics == 2048)
  }

  @Test(
    "S1.16: looks at the IOMMU's table, one a page and one more a border; a flush for 512 regions")
  func unmap() throws {
    var process = try DeviceProcess(cma: 0)
    let device = process.open()
    let start = try process.runs([5, 1, 512])
    #expect(try process.mapped(device, start, 518).iommuMaps == 3)
    let done = try process.unmap(device, 0..<518)
    #expect(done.pages == 518 && done.lookups == 520 && done.iommuUnmaps == 3 && done.syncs == 1)
    #expect(done.costs.unpinAtomics == 518)
    let single = try process.runs(Array(repeating: 1, count: 513))
    _ = try process.mapped(device, single, 513)
    let many = try process.unmap(device)
    #expect(many.lookups == 513 + 512 && many.iommuUnmaps == 513 && many.syncs == 2)
    #expect(process.leftovers == nil)
  }

  @Test("P8.5: an IOMMU with pages of every power of two is asked once an entry")
  func fineSuperpages() throws {
    var process = try DeviceProcess(cma: 0)
    let start = try process.runs([1, 1])
    let device = process.open(fine: true)
    _ = try process.mapped(device, start, 2)
    let done = try process.unmap(device)
    #expect(done.lookups == 2 && done.iommuUnmaps == 2)
    var huge = try DeviceProcess(cma: 0, thp: true)
    let aligned = (try huge.populated(2048) + 511) & ~511
    let other = huge.open(fine: true)
    _ = try huge.mapped(other, aligned, 512)
    let one = try huge.unmap(other)
    #expect(one.lookups == 1 && one.iommuUnmaps == 1 && one.pages == 512)
  }

  @Test(
    "P7.2, P7.50: the IOMMU's table has the largest pages that address, frames and length allow")
  func table() throws {
    var process = try DeviceProcess(cma: 0, thp: true)
    let start = (try process.populated(2048) + 511) & ~511
    let device = process.open()
    _ = try process.mapped(device, start, 1024)
    let table = process.machine.iommuTable(process.machine.devices.attachments[device])
    #expect(table.large == 2 && table.small == 0 && table.tables == 3)
    // Another address, not aligned: pages of 4 KiB.
    _ = try process.mapped(device, start, 512, iova: 4096 + 1)
    let mixed = process.machine.iommuTable(process.machine.devices.attachments[device])
    #expect(mixed.large == 2 && mixed.small == 512)
  }

  @Test("S1.13: v2 refuses to cut a mapping; v1 unmaps nothing, or all of it")
  func granularity() throws {
    var process = try DeviceProcess()
    let start = try process.populated(1024)
    let v2 = process.open()
    _ = try process.mapped(v2, start, 512)
    _ = try process.mapped(v2, start + 512, 512, iova: 512)
    for cut in [256..<1024, 0..<256, 0..<768, 100..<200] {
      #expect(throws: Refusal.self) { _ = try process.unmap(v2, cut) }
    }
    #expect(try process.unmap(v2, 512..<1024).pages == 512)
    #expect(try process.unmap(v2, 0..<2048).pages == 512)
    #expect(try process.unmap(v2, 0..<2048).pages == 0)
    let v1 = process.open(.vfioV1)
    _ = try process.mapped(v1, start, 512)
    _ = try process.mapped(v1, start + 512, 512, iova: 512)
    // It stops at a mapping that begins before the range, whatever else the range covers.
    #expect(try process.unmap(v1, 256..<1024).pages == 0)
    #expect(try process.unmap(v1, 0..<256).pages == 512)
    #expect(try process.unmap(v1, 512..<513).pages == 512)
    #expect(process.leftovers == nil)
  }

  @Test("P7.4: overlap, no more entries, and what fails leaves nothing")
  func arguments() throws {
    var process = try DeviceProcess()
    let start = try process.populated(64)
    let device = process.open(entryLimit: 2)
    #expect(try process.map(device, start, 0).refusal?.errno == .EINVAL)
    _ = try process.mapped(device, start, 16, iova: 16)
    for iova in [1, 16, 24, 31] {
      #expect(try process.map(device, start, 16, iova: iova).refusal?.errno == .EEXIST)
    }
    _ = try process.mapped(device, start, 16, iova: 0)
    #expect(try process.map(device, start, 16, iova: 64).refusal?.errno == .ENOSPC)
    // The same pages under two addresses are charged twice (rule P7.5).
    #expect(process.machine.spaces[process.id].lockedPages == 32)
    _ = try process.unmap(device)
    #expect(try process.map(device, start, 1400).refusal?.errno == .EFAULT)
    #expect(process.leftovers == nil)
  }

  @Test("P7.5: the limit refuses what passes it, with a line in the log, and nothing stays")
  func limit() throws {
    for batch in [1, 512] {
      for (room, hole) in [(1000, 1024), (0, 1024), (511, 1024), (512, 1024), (100, 300)] {
        var process = try DeviceProcess()
        process.machine.kernel.pinning.vfioBatch = batch
        // Behind `hole` pages nothing is mapped.
        let start = try process.populated(hole)
        let device = process.open()
        process.machine.setMemlockLimit(process.id, room << 12)
        let refused = try process.map(device, start, 1024)
        #expect(refused.refusal?.errno == .ENOMEM && refused.refusal?.rule == "P7.5")
        #expect(refused.costs.calls == room / batch + 1, "batch \(batch), room \(room)")
        #expect(
          process.machine.log.lines.last
            == "vfio_pin_pages_remote: RLIMIT_MEMLOCK (\(room << 12)) exceeded")
        #expect(process.leftovers == nil)
        if room == 0 { continue }
        #expect(try process.map(device, start, room).refusal == nil)
        #expect(try process.map(device, start, 1, iova: 4096).refusal?.errno == .ENOMEM)
        process.machine.setMemlockLimit(process.id, nil)
        #expect(try process.map(device, start, 1, iova: 4096).refusal == nil)
      }
    }
    // A hole before the limit is met first.
    var process = try DeviceProcess()
    let start = try process.populated(64)
    let device = process.open()
    process.machine.setMemlockLimit(process.id, 100 << 12)
    #expect(try process.map(device, start, 1024).refusal?.errno == .EFAULT)
    #expect(process.leftovers == nil)
  }

  @Test("P7.8: frames of a device are looked up, one a call, and no pin holds them")
  func deviceFrames() throws {
    for batch in [1, 512] {
      for pace in [Pace.slice, .step] {
        var process = try DeviceProcess()
        process.machine.kernel.pinning.vfioBatch = batch
        let (start, frame) = try process.withDeviceMemory()
        let device = process.open()
        let outcome = try process.map(device, start, 100, pace)
        #expect(outcome.refusal == nil)
        let found = process.machine.deviceMapping(try #require(outcome.mapping))
        let mapping = try #require(found).mapping
        #expect(mapping.deviceFrames == [.init(offset: 64, first: frame, pages: 16)])
        #expect(mapping.charged == 84 && process.machine.pins.first?.pages == 84)
        // One more look for the frame that began the run.
        #expect(mapping.frameLookups == 17)
        var frames: [Int] = []
        process.machine.forEachFrameRun(mapping) { offset, first, pages in
          #expect(offset == frames.count)
          frames += first..<first + pages
        }
        #expect(frames.count == 100 && frames[64] == frame)
        for page in [0, 63, 80, 99] {
          #expect(process.machine.frame(process.id, page: start + page)?.index == frames[page])
        }
        #expect(process.sound == nil)
        #expect(try process.unmap(device).pages == 100)
        #expect(process.leftovers == nil)
        // Nothing else has pins for it, and RDMA cannot take it.
        #expect(try process.mapped(device, start + 64, 16).pin == nil)
        _ = try process.unmap(device)
        for kind in [DeviceAttachment.Kind.rdma, .iommufd, .ioUring] {
          let other = process.open(kind)
          #expect(try process.map(other, start, 100).refusal?.errno == .EFAULT, "\(kind)")
          #expect(process.leftovers == nil, "\(kind)")
        }
      }
    }
  }

  @Test("P0.7: on every preset a map and its unmap leave nothing, whatever moved")
  func presets() throws {
    for kernel in Kernel.presets {
      var process = try DeviceProcess()
      process.machine.setKernel(kernel)
      let start = try process.populated(700)
      let device = process.open()
      let mapping = try process.mapped(device, start, 700)
      let batch = kernel.pinning.vfioBatch
      #expect(
        mapping.costs.calls == (700 + batch - 1) / batch + mapping.repins, "\(kernel.name)")
      #expect(process.sound == nil, "\(kernel.name)")
      #expect(try process.unmap(device).pages == 700, "\(kernel.name)")
      #expect(process.leftovers == nil, "\(kernel.name)")
    }
  }

  @Test("D5: whoever looks for what is in the way finds the container, and when it began")
  func names() throws {
    var process = try DeviceProcess()
    let start = try process.populated(2048)
    process.machine.setKernel(try #require(Kernel.named("4.2")))
    process.machine.beginOperation()
    let device = process.open()
    _ = process.open()
    #expect(process.machine.devices.attachments.map(\.name) == ["vm0's v2", "vm0's v2 2"])
    _ = try process.mapped(device, start, 2048)
    let area = try #require(process.machine.cmaAreas.first)
    let groups = process.machine.blockers(in: PFNRange(area.base, area.base + area.pages))
    let group = try #require(groups.first)
    #expect(groups.count == 1 && !group.pages.isEmpty)
    let words = process.machine.describe(group.holder)
    #expect(words == "vm0's v2, since operation 1")
    // The IOVA under which the device sees the page leads back to the frame.
    let record = try #require(process.machine.pins.first)
    let held = process.machine.folio(of: group.pages[0].pfn)
    let place = process.machine.firstIOVA(of: try #require(held), in: record)
    let iova = try #require(place)
    #expect(process.machine.frame(process.id, page: start + iova >> 12) == group.pages[0].pfn)
    _ = try process.unmap(device)
    #expect(process.leftovers == nil)
  }
}
