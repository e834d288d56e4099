import MemoryDevices
import MemoryOperations
import Testing

@testable import MemoryModel

@Suite struct DriverTests {
  // MARK: iommufd

  @Test("P7.10: fast calls of 8192 pages, runs of 12 bytes; unmapped by whole mappings")
  func iommufd() throws {
    var process = try DeviceProcess(cma: 0)
    let start = try process.runs([8000, 400, 1])
    let device = process.open(.iommufd)
    let mapping = try process.mapped(device, start, 8401)
    #expect(mapping.costs.calls == 2 && mapping.runs == 3 && mapping.bytes == 36)
    #expect(throws: Refusal.self) { _ = try process.unmap(device, 0..<100) }
    #expect(try process.unmap(device).pages == 8401)
    #expect(process.leftovers == nil)
  }

  @Test("P7.10: the user's count or locked_vm, and pinned_vm besides; counted when all is pinned")
  func iommufdAccounts() throws {
    var process = try DeviceProcess()
    let start = try process.populated(200)
    for account in [LockedAccount.user, .locked] {
      let device = process.open(.iommufd, account: account)
      process.machine.setMemlockLimit(process.id, 150 << 12)
      let refused = try process.map(device, start, 200)
      #expect(refused.refusal?.errno == .ENOMEM && refused.costs.walks + refused.costs.calls > 0)
      #expect(process.leftovers == nil)
      _ = try process.mapped(device, start, 150)
      #expect(process.machine.spaces[process.id].pinnedPages == 150)
      #expect(process.machine.devices.userLockedPages == (account == .user ? 150 : 0))
      #expect(process.machine.spaces[process.id].lockedPages == (account == .user ? 0 : 150))
      #expect(try process.map(device, start, 1, iova: 4096).refusal?.errno == .ENOMEM)
      #expect(process.sound == nil)
      _ = try process.unmap(device)
      #expect(process.leftovers == nil)
    }
  }

  // MARK: RDMA

  @Test("P7.20: calls of 512, one scatter list over all of them, segments of limited length")
  func scatterTable() throws {
    var process = try DeviceProcess(cma: 0)
    let start = try process.runs([700, 5, 40])
    for (segment, records) in [(64 << 10, 44 + 1 + 3), (4096, 745), (1 << 30, 3)] {
      let device = process.open(.rdma, maximumSegment: segment)
      let mapping = try process.mapped(device, start, 745)
      #expect(mapping.costs.calls == 2 && mapping.runs == 3)
      #expect(mapping.records == records && mapping.bytes == 32 * records, "segment \(segment)")
      _ = try process.unmap(device)
      #expect(process.leftovers == nil)
    }
  }

  @Test(
    "P7.20, P7.21: counted before it pins; EPERM without a right; dirty only where it may write")
  func registration() throws {
    var process = try DeviceProcess()
    let start = try process.machine.mapArea(process.id, pages: 64, [.read], .anonymous).get()
    let device = process.open(.rdma)
    #expect(try process.map(device, start, 0).refusal?.errno == .EINVAL)
    process.machine.setMemlockLimit(process.id, 0)
    #expect(try process.map(device, start, 1).refusal?.errno == .EPERM)
    process.machine.setMemlockLimit(process.id, 63 << 12)
    let before = process.machine.total(.pinAcquired)
    #expect(try process.map(device, start, 64, isWrite: false).refusal?.errno == .ENOMEM)
    #expect(process.machine.total(.pinAcquired) == before, "refused before it pins")
    process.machine.setMemlockLimit(process.id, 64 << 12)
    // Memory that may not be written: a write registration fails and gives its charge back.
    #expect(try process.map(device, start, 64).refusal?.errno == .EFAULT)
    #expect(process.leftovers == nil)
    _ = try process.mapped(device, start, 64, isWrite: false)
    #expect(process.machine.spaces[process.id].pinnedPages == 64)
    #expect(process.sound == nil)
    _ = try process.unmap(device)
    #expect(process.leftovers == nil)
  }

  @Test("P7.21, P8.5: released folio by folio where the kernel can, page by page by VFIO")
  func release() throws {
    for (kind, atomics) in [
      (DeviceAttachment.Kind.rdma, 4), (.iommufd, 4), (.vfioV2, 2048), (.spapr, 2048),
    ] {
      var process = try DeviceProcess(cma: 0, thp: true)
      let start = (try process.populated(2048) + 511) & ~511
      let device = process.open(kind)
      _ = try process.mapped(device, start, 1024)
      let done = try process.unmap(device, 0..<1024)
      #expect(done.costs.unpinAtomics == atomics, "\(kind)")
      #expect(process.leftovers == nil)
    }
  }

  @Test("P7.22: on demand nothing is pinned or counted, and what moves is faulted in again")
  func onDemand() throws {
    var process = try DeviceProcess(cma: 128)
    let start = try process.populated(256)
    let device = process.open(.odp)
    process.machine.setMemlockLimit(process.id, 0)
    let mapping = try process.mapped(device, start, 300)
    #expect(process.machine.pins.isEmpty && process.leftovers == nil)
    func access(_ pages: Range<Int>) throws -> DeviceAccess {
      try process.access(
        device, mapping.id, start + pages.lowerBound..<start + pages.upperBound)
    }
    #expect(try access(0..<256).faults == 256)
    #expect(try access(0..<256).hits == 256)
    #expect(try access(256..<300).refusal?.errno == .EFAULT)
    // A pin moves the pages out of CMA; the device's entries go with them.
    var pin = Pin(
      PinRequest(space: process.id, startPage: start, pages: 256, flags: [.write, .longTerm]))
    let outcome = pin.run(&process.machine)
    let moved = try #require(outcome).costs.migratedPages
    #expect(moved > 0)
    #expect(
      process.machine.invalidatedOnDemand(attachment: device, mapping: mapping.id) == moved)
    let again = try access(0..<256)
    #expect(again.refaults == moved && again.hits == 256 - moved && again.faults == 0)
    #expect(process.sound == nil)
  }

  // MARK: io_uring

  @Test("P7.30: whole folios in a row keep one pin each; anything else keeps one a page")
  func coalescing() throws {
    var process = try DeviceProcess(cma: 0, thp: true)
    let start = (try process.populated(4096) + 511) & ~511
    let ring = process.open(.ioUring)
    for (from, pages, records) in [
      (0, 1024, 2), (100, 1024, 3), (0, 512, 1), (100, 100, 1), (511, 2, 2), (3, 1, 1),
    ] {
      let mapping = try process.mapped(ring, start + from, pages)
      #expect(mapping.isCoalesced && mapping.records == records, "\(from), \(pages)")
      #expect(mapping.bytes == 16 * records)
      // One pin a folio is left.
      let record = try #require(process.machine.pins.first)
      var pins = 0
      process.machine.forEachRun(record) { first, _ in
        if let folio = process.machine.folio(of: first) {
          pins += process.machine.folios.pins(folio)
        }
      }
      #expect(pins == records && process.sound == nil, "\(from), \(pages)")
      for page in [0, pages - 1] {
        let shown = process.machine.frame(process.id, page: start + from + page)
        let found = try process.machine.physicalAddress(
          mapping, offset: page << 12, pageShift: 12
        ).get()
        #expect(shown?.index == found >> 12)
      }
      #expect(try process.unmap(ring).pages == pages)
      #expect(process.leftovers == nil, "\(from), \(pages)")
    }
    // A huge page with a foreign page in the middle.
    var unmap = UnmapOperation(space: process.id, pages: start + 10..<start + 11)
    _ = unmap.run(&process.machine)
    _ = try process.machine.mapArea(
      process.id, start: start + 10, pages: 1, [.read, .write], .anonymous
    ).get()
    let run = process.machine.faultRange(process.id, start + 10..<start + 11, .write)
    #expect(run.done == 1)
    let mapping = try process.mapped(ring, start, 512)
    #expect(!mapping.isCoalesced && mapping.records == 512 && process.sound == nil)
    _ = try process.unmap(ring)
    #expect(process.leftovers == nil)
  }

  @Test("P7.30: a compound page counts once a ring, its whole size, and the user has one count")
  func ringAccounts() throws {
    var process = try DeviceProcess(cma: 0, thp: true)
    let start = (try process.populated(4096) + 511) & ~511
    let ring = process.open(.ioUring)
    #expect(try process.mapped(ring, start, 10).charged == 512)
    #expect(try process.mapped(ring, start + 10, 10).charged == 0)
    #expect(try process.mapped(process.open(.ioUring), start, 10).charged == 512)
    #expect(process.machine.devices.userLockedPages == 1024 && process.sound == nil)
    process.machine.setMemlockLimit(process.id, 1500 << 12)
    let refused = try process.map(ring, start + 512, 512)
    #expect(refused.refusal?.errno == .ENOMEM && refused.refusal?.rule == "P7.30")
    #expect(try process.mapped(ring, start, 512).charged == 0)
    process.machine.setMemlockLimit(process.id, nil)
    #expect(try process.map(ring, start, 1 << 18 + 1).refusal?.errno == .EFAULT)
    #expect(try process.map(ring, start, 5000).refusal?.errno == .EFAULT)
    #expect(process.sound == nil)
    for id in [ring, ring + 1] { _ = try process.unmap(id) }
    #expect(process.leftovers == nil)
  }

  // MARK: SPAPR

  @Test("P7.40, P7.42: regions are shared, overlap is found after pinning, TCEs keep them")
  func regions() throws {
    var process = try DeviceProcess()
    let start = try process.populated(64)
    let device = process.open(.spapr)
    let region = try process.mapped(device, start, 16)
    #expect(region.bytes == 128 && region.charged == 16)
    let before = process.machine.total(.pinAcquired)
    #expect(try process.map(device, start + 8, 16, iova: 8).refusal?.errno == .EINVAL)
    #expect(process.machine.total(.pinAcquired) > before, "pinned, then undone")
    #expect(process.machine.spaces[process.id].lockedPages == 16 && process.sound == nil)
    let shared = process.machine.shareRegistration(
      attachment: device, startPage: start, pages: 16)
    #expect(shared == region.id)
    #expect(
      process.machine.shareRegistration(attachment: device, startPage: start, pages: 8) == nil)
    #expect(
      try !process.machine.releaseRegistration(attachment: device, mapping: region.id).get())
    process.machine.setTableEntries(device, region.id, 2)
    #expect(throws: Refusal.self) {
      _ = try process.machine.releaseRegistration(attachment: device, mapping: region.id).get()
    }
    process.machine.setTableEntries(device, region.id, 0)
    #expect(try process.machine.releaseRegistration(attachment: device, mapping: region.id).get())
    #expect(throws: Refusal.self) { _ = try process.unmap(device, 0..<8) }
    _ = try process.unmap(device, 0..<16)
    #expect(process.leftovers == nil)
    process.machine.setMemlockLimit(process.id, 15 << 12)
    #expect(try process.map(device, start, 16).refusal?.errno == .ENOMEM)
    process.machine.setMemlockLimit(process.id, nil)
    // A short count of the last chunk leaks out as it is.
    let short = try process.map(device, start, 100)
    #expect(short.refusal?.errno == .EFAULT && short.leakedCount == 64)
    #expect(process.leftovers == nil)
  }

  @Test(
    "P7.41: only hugetlb makes an IOMMU page larger; before 5.1 a huge page that a leaf maps did, too"
  )
  func pageSize() throws {
    for (name, shift) in [("6.12", 12), ("4.9ppc", 21)] {
      var process = try DeviceProcess(cma: 0, thp: true)
      process.machine.setKernel(try #require(Kernel.named(name)))
      let start = (try process.populated(2048) + 511) & ~511
      let device = process.open(.spapr)
      #expect(try process.mapped(device, start, 512).pageShift == shift, "\(name)")
      // Not aligned: a small page in every kernel.
      let part = try process.mapped(device, start + 513, 5, iova: 513)
      #expect(part.pageShift == 12)
      let large = process.machine.physicalAddress(part, offset: 0, pageShift: 21)
      #expect(throws: Refusal.self) { _ = try large.get() }
    }
  }

  @Test("P7.40: a page becomes dirty when its slot says so, and no other")
  func dirtySlots() throws {
    var process = try DeviceProcess()
    let start = try process.populated(4)
    let device = process.open(.spapr)
    let region = try process.mapped(device, start, 4)
    let frames = (0..<4).map { process.machine.frame(process.id, page: start + $0) }
    for pfn in frames { process.machine.setFlags(try #require(pfn), remove: .dirty) }
    process.machine.markDirty(device, region.id, slot: 2)
    _ = try process.unmap(device, 0..<4)
    for (index, pfn) in frames.enumerated() {
      let flags = process.machine.frames.head(try #require(pfn)).flags
      #expect(flags.contains(.dirty) == (index == 2), "slot \(index)")
    }
  }

  // MARK: Together

  @Test("P9.4: each account has the whole limit: VFIO, RDMA and io_uring of one process")
  func limits() throws {
    var process = try DeviceProcess()
    let start = try process.populated(300)
    process.machine.setMemlockLimit(process.id, 100 << 12)
    for kind in [DeviceAttachment.Kind.vfioV2, .rdma, .ioUring] {
      let device = process.open(kind)
      #expect(try process.map(device, start, 101).refusal?.errno == .ENOMEM, "\(kind)")
      #expect(try process.mapped(device, start, 100).charged == 100, "\(kind)")
    }
    // SPAPR shares locked_vm with VFIO.
    let region = process.open(.spapr)
    #expect(try process.map(region, start, 1).refusal?.errno == .ENOMEM)
    let space = process.machine.spaces[process.id]
    #expect(space.lockedPages == 100 && space.pinnedPages == 100)
    #expect(process.machine.devices.userLockedPages == 100 && process.sound == nil)
  }

  @Test("I9: a signal before any step leaves nothing, and the same map then succeeds")
  func signals() throws {
    for kind in DeviceAttachment.Kind.allCases where kind != .odp {
      for name in ["6.12", "5.10", "4.9ppc", "HELPER2018V2"] where kind == .spapr || name == "6.12"
      {
        var process = try DeviceProcess(cma: 128)
        let start = try process.populated(48)
        process.machine.setKernel(try #require(Kernel.named(name)))
        let device = process.open(kind)
        var step = 0
        while true {
          var copy = try DeviceProcess(process)
          var map = DeviceMap(
            attachment: device, startPage: start, pages: 48, iova: 0, isWrite: true)
          var done = 0
          while done < step, map.advance(&copy.machine, .step) == .running { done += 1 }
          if map.outcome != nil { break }
          map.interrupt(&copy.machine)
          #expect(map.outcome?.refusal?.errno == .EINTR)
          #expect(copy.leftovers == nil, "\(kind) on \(name), a signal before step \(step)")
          let again = try copy.map(device, start, 48)
          #expect(again.refusal == nil, "\(kind) on \(name), again after step \(step)")
          #expect(copy.sound == nil)
          step += 1 + step / 7
        }
        #expect(step > 5, "\(kind) on \(name)")
      }
    }
  }

  @Test("P7.1: calls on one container exclude each other; those of RDMA do not")
  func mutex() throws {
    for (kind, waits) in [(DeviceAttachment.Kind.vfioV2, true), (.rdma, false)] {
      var process = try DeviceProcess()
      let start = try process.populated(64)
      let device = process.open(kind)
      var one = DeviceMap(attachment: device, startPage: start, pages: 32, iova: 0, isWrite: true)
      for _ in 0..<4 { _ = one.advance(&process.machine, .step) }
      var two = DeviceMap(
        attachment: device, startPage: start + 32, pages: 32, iova: 32, isWrite: true)
      #expect((two.advance(&process.machine, .step) == .waiting(.device(device))) == waits)
      while one.advance(&process.machine, .step) == .running {}
      while two.advance(&process.machine, .step) == .running {}
      #expect(one.outcome?.mapping != nil && two.outcome?.mapping != nil)
      #expect(process.sound == nil)
    }
  }

  @Test("P9.2: whoever the OOM killer chose leaves no mapping, no count, no pin")
  func victim() throws {
    var process = try DeviceProcess()
    let start = try process.populated(64)
    for kind in [DeviceAttachment.Kind.vfioV2, .rdma, .ioUring, .iommufd, .odp] {
      let device = process.open(kind)
      _ = try process.mapped(device, start, 64)
    }
    #expect(process.sound == nil)
    process.machine.spaces[process.id].isKilled = true
    process.machine.finishKilled()
    #expect(process.machine.pins.isEmpty && process.machine.devices.userLockedPages == 0)
    #expect(process.machine.devices.attachments.allSatisfy { !$0.isOpen && $0.mappings.isEmpty })
    #expect(process.sound == nil)
  }

  @Test("P9.11: who is asked for pages: VFIO refuses, on demand lets go")
  func revocation() throws {
    for value in [Kernel.Revocation.off, .forced] {
      var process = try DeviceProcess(megabytes: 256, cma: 160)
      let start = try process.populated(256)
      var kernel = try #require(Kernel.named("4.2"))
      kernel.revocation = value
      process.machine.setKernel(kernel)
      let demand = process.open(.odp)
      let region = try process.mapped(demand, start, 256)
      _ = try process.access(demand, region.id, start..<start + 256)
      let container = process.open()
      _ = try process.mapped(container, start, 8)
      let area = process.machine.cmaAreas[0]
      var allocation = CMAAllocation(area: 0, pages: area.pages, alignment: 0, noWarn: true)
      _ = allocation.run(&process.machine)
      let asked = process.machine.devices.attachments
      let isForced = value == .forced
      #expect((asked[container].revocation.refused > 0) == isForced)
      #expect((asked[demand].revocation.complied > 0) == isForced)
      #expect(asked[container].revocation.complied == 0 && asked[demand].revocation.refused == 0)
      #expect(process.sound == nil)
    }
  }

  @Test("checkMemory() sees a count that is off by one, and a mapping without its pin")
  func checks() throws {
    func broken(_ change: (inout DeviceProcess) -> Void) throws -> String? {
      var process = try DeviceProcess()
      let start = try process.populated(64)
      let device = process.open()
      _ = try process.mapped(device, start, 64)
      #expect(process.sound == nil)
      change(&process)
      return process.sound
    }
    #expect(try broken { $0.machine.spaces[0].lockedPages += 1 } != nil)
    #expect(try broken { $0.machine.spaces[0].pinnedPages += 1 } != nil)
    #expect(try broken { $0.machine.devices.userLockedPages += 1 } != nil)
    #expect(try broken { $0.machine.devices.attachments[0].mappings[0].charged -= 1 } != nil)
    #expect(try broken { $0.machine.devices.attachments[0].mappings[0].pages -= 1 } != nil)
    #expect(try broken { $0.machine.devices.attachments[0].mappings[0].pin = 99 } != nil)
    #expect(try broken { $0.machine.devices.attachments[0].isOpen = false } != nil)
    #expect(
      try broken {
        let copy = $0.machine.devices.attachments[0].mappings[0]
        $0.machine.devices.attachments[0].mappings.append(copy)
      } != nil)
  }
}
