/// The files under /proc/sys/vm that the allocator obeys.
public enum Sysctl: String, CaseIterable, Sendable {
  case minFreeKbytes = "min_free_kbytes"
  case watermarkScaleFactor = "watermark_scale_factor"
  case watermarkBoostFactor = "watermark_boost_factor"
  case percpuPagelistHighFraction = "percpu_pagelist_high_fraction"
  case lowmemReserveRatio = "lowmem_reserve_ratio"
  case compactionProactiveness = "compaction_proactiveness"
  case swappiness
}

extension Machine {
  /// The value as the file prints it.
  public func read(_ sysctl: Sysctl) -> String {
    switch sysctl {
    case .minFreeKbytes: "\(settings.minFreeKbytes)"
    case .watermarkScaleFactor: "\(settings.watermarkScaleFactor)"
    case .watermarkBoostFactor: "\(settings.watermarkBoostFactor)"
    case .percpuPagelistHighFraction: "\(settings.percpuPagelistHighFraction)"
    case .compactionProactiveness: "\(settings.compactionProactiveness)"
    case .swappiness: "\(settings.swappiness)"
    case .lowmemReserveRatio: settings.lowmemReserveRatio.map(String.init).joined(separator: "\t")
    }
  }

  /// Writes a setting and recomputes what depends on it (rules A1.3, A1.15 to A1.24).
  ///
  /// Kernel: the `*_sysctl_handler()` functions of mm/page_alloc.c and mm/compaction.c; `vm_swappiness`.
  ///
  /// - Throws: `.misuse` with the range when the kernel would answer EINVAL.
  public mutating func write(_ sysctl: Sysctl, _ text: String) throws(MemoryError) {
    let fields = text.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == "," })
    let values = fields.compactMap { Int($0) }
    let wanted = sysctl == .lowmemReserveRatio ? 1...ZoneIndex.count : 1...1
    guard values.count == fields.count, wanted.contains(values.count) else {
      throw MemoryError(
        .misuse,
        "\(sysctl.rawValue) = \"\(text)\": expected "
          + (sysctl == .lowmemReserveRatio ? "up to \(ZoneIndex.count) numbers" : "one number"))
    }
    let range: ClosedRange<Int>
    switch sysctl {
    case .minFreeKbytes: range = 0...Int(Int32.max)
    case .watermarkScaleFactor: range = 1...3000
    case .compactionProactiveness: range = 0...100
    case .swappiness: range = 0...200
    case .watermarkBoostFactor, .percpuPagelistHighFraction, .lowmemReserveRatio:
      range = 0...Int(Int32.max)
    }
    guard values.allSatisfy({ range.contains($0) }) else {
      throw MemoryError(
        .misuse,
        "\(sysctl.rawValue) = \"\(text)\" is outside \(range.lowerBound) to "
          + "\(range.upperBound)")
    }
    switch sysctl {
    case .minFreeKbytes:
      settings.minFreeKbytes = values[0]
      settings.userMinFreeKbytes = values[0]
      setupPerZoneWatermarks()
    case .watermarkScaleFactor:
      settings.watermarkScaleFactor = values[0]
      setupPerZoneWatermarks()
    case .watermarkBoostFactor:
      settings.watermarkBoostFactor = values[0]
    case .compactionProactiveness:
      settings.compactionProactiveness = values[0]
      if values[0] > 0 { for node in 0..<nodeCount { wakeProactively(node: node) } }
    case .swappiness: settings.swappiness = values[0]
    case .percpuPagelistHighFraction:
      // The kernel refuses 1 to 7 with EINVAL.
      guard values[0] == 0 || values[0] >= 8 else {
        throw MemoryError(
          .misuse, "percpu_pagelist_high_fraction = \(values[0]): use 0, or 8 and more")
      }
      settings.percpuPagelistHighFraction = values[0]
      for zone in 0..<zoneCount { setPerCPUHighAndBatch(zone) }
    case .lowmemReserveRatio:
      for (index, value) in values.enumerated() {
        settings.lowmemReserveRatio[index] = value < 1 ? 0 : value
      }
      setupLowmemReserve()
    }
  }

  /// Switches transparent huge pages, which moves `min_free_kbytes` (rule A1.20).
  ///
  /// Kernel: `enabled_store()`, `set_recommended_min_free_kbytes()`, mm/khugepaged.c.
  ///
  /// - Parameter onlyAdvised: `madvise`: only areas with MADV_HUGEPAGE get huge pages.
  public mutating func setTransparentHugePages(_ enabled: Bool, onlyAdvised: Bool = false) {
    settings.transparentHugePages = enabled
    settings.hugePagesOnlyAdvised = enabled && onlyAdvised
    raiseForHugePages()
    setupPerZoneWatermarks()
  }
}
