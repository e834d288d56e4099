public import MemoryModel

extension MachineImage {
  /// The common setting S(n) of the worked numbers: one zone DMA32 of `pages` frames from 4096 on,
  /// all of it free in largest blocks, ascending on the Movable list; one CPU with empty lists.
  ///
  /// The watermarks and the per-CPU marks are those that the rules compute for the three sizes in
  /// use; any other size gets zeros, and a machine on which no watermark test can fail.
  ///
  /// - Parameter cma: A CMA area; its blocks descend on the CMA list, as boot leaves them (A1.27).
  public static func single(
    pages: Int, cma: PFNRange? = nil, kernel: Kernel = .v6_12
  ) -> MachineImage {
    let zone = PFNRange(4096, 4096 + pages)
    var image = MachineImage.singleAllocated(pages: pages, kernel: kernel)
    var movable: [Int] = []
    var special: [Int] = []
    for start in stride(from: zone.start, to: zone.end, by: 1024) {
      if let cma, cma.start <= start, start < cma.end {
        special.insert(start, at: 0)
      } else {
        movable.append(start)
      }
    }
    image.zones[0].freeLists[10] = [.movable: movable, .cma: special]
    image.zones[0].freePages = pages
    image.allocations = []
    if let cma {
      image.zones[0].pageblocks.append((cma.start, cma.count / 512, .cma))
      image.zones[0].cmaPages = cma.count
      image.zones[0].freeCMAPages = cma.count
      image.cmaAreas = [
        Machine.CMAArea(name: "reserved", base: cma.start, pages: cma.count, orderPerBit: 0)
      ]
    }
    return image
  }

  /// S(n) with no free memory: every frame is a page of its own, and on an LRU list.
  public static func singleAllocated(pages: Int, kernel: Kernel = .v6_12) -> MachineImage {
    var image = MachineImage()
    image.kernel = kernel
    image.memory = [PFNRange(4096, 4096 + pages)]
    var zone = ZoneImage(.dma32)
    zone.start = 4096
    zone.spanned = pages
    zone.present = pages
    zone.managed = pages
    zone.pageblocks = [(4096, (pages + 511) / 512, .movable)]
    zone.freeLists = Array(repeating: [:], count: 11)
    var local = PerCPUImage()
    switch pages {
    case 8192: (zone.watermarks, local.highMin, local.highMax) = ([181, 226, 271, 316], 226, 1024)
    case 16384: (zone.watermarks, local.highMin, local.highMax) = ([256, 320, 384, 448], 320, 2048)
    case 65536: (zone.watermarks, local.highMin, local.highMax) = ([512, 640, 768, 896], 640, 8192)
    default: break
    }
    local.batch = pages == 65536 ? 15 : pages == 16384 ? 3 : 1
    zone.statThreshold = pages == 65536 ? 6 : 2
    zone.batch = local.batch
    zone.highMin = local.highMin
    zone.highMax = local.highMax
    zone.perCPU = [local]
    image.zones = [zone]
    image.allocations = (4096..<4096 + pages).map {
      Allocation(pfn: $0, order: 0, owner: 0, isLRU: true, isDriverMovable: false)
    }
    return image
  }
}

extension GFPFlags {
  /// A kernel request of the worked numbers, kind U; like R and M it may not wait.
  public static let plain: GFPFlags = [.kswapdReclaim, .noWarn, .io, .fs]
  public static let plainReclaimable: GFPFlags = [.plain, .reclaimable]
  public static let plainMovable: GFPFlags = [.plain, .highMem, .movable, .hardwall]
}

extension Machine {
  /// The zone with this index on this node.
  public func zoneID(_ index: ZoneIndex, node: Int = 0) -> Int {
    node * ZoneIndex.count + index.rawValue
  }

  /// Free blocks of one order and type, the next to be taken first.
  public func freeBlocks(_ zone: Int, order: Int, _ type: MigrateType) -> [Int] {
    frames.blocks(self.zone(zone).freeList(order: order, type)).map(\.index)
  }

  /// Blocks on one per-CPU list, the next to be taken first.
  public func perCPUBlocks(_ zone: Int, cpu: Int = 0, list: Int) -> [Int] {
    frames.blocks(perCPUPages(zone: zone, cpu: cpu).list(list)).map(\.index)
  }

  /// nr_free by order, over all types.
  public func freeCounts(_ zone: Int) -> [Int] {
    let counts = self.zone(zone).freeCounts
    return (0...geometry.maxOrder).map { counts[$0] }
  }

  /// The pfns of `count` requests in a row; -1 stands for a refused one.
  public mutating func allocate(
    _ count: Int, order: Int, _ gfp: GFPFlags, inPinScope: Bool = false
  ) -> [Int] {
    (0..<count).map { _ in
      allocatePages(order: order, gfp: gfp, inPinScope: inPinScope).pfn?.index ?? -1
    }
  }

  /// Frees blocks of one order in the given sequence.
  public mutating func free(_ pfns: [Int], order: Int = 0) throws(MemoryError) {
    for pfn in pfns { try freePages(PFN(pfn), order: order) }
  }
}
