internal import MemoryModel

extension PageExplanation: CustomStringConvertible {
  /// The explanation in some lines, as `why` prints it.
  public var description: String { lines.joined(separator: "\n") }

  var lines: [String] {
    var lines = ["\(pfn)  \(whereItIs)"]
    for place in places.prefix(4) {
      let level = place.level == .pte ? "" : " (\(place.level))"
      lines.append(
        "  \(place.isMigrationEntry ? "migration entry in" : "mapped by") \(place.name) at "
          + "0x\(String(place.address, radix: 16))\(level)")
    }
    if places.count > 4 { lines.append("  and at \(places.count - 4) more places") }
    if let facts {
      lines.append(
        "  \(facts.references) reference\(facts.references == 1 ? "" : "s"): "
          + "\(facts.expectedReferences) accounted for by mappings and caches"
          + holders.map { ", \($0.references) by \($0.text)" + since($0.operation) }.joined())
      if !facts.flags.isEmpty { lines.append("  flags: " + facts.flags.joined(separator: " ")) }
    }
    if let migration {
      if migration.isPossible {
        lines.append(
          "  can move" + (migration.reason.isEmpty ? "" : ", \(migration.reason)")
            + source(migration))
      } else {
        lines.append("  cannot move: \(migration.reason)" + source(migration))
      }
    }
    if let pinning {
      lines.append(
        (pinning.isPossible ? "  pinnable: " : "  not pinnable here: ") + pinning.reason
          + source(pinning))
    }
    return lines
  }

  private func since(_ operation: Int?) -> String {
    operation.map { " since operation \($0)" } ?? ""
  }

  private func source(_ verdict: Verdict) -> String {
    " (rule \(verdict.rule), \(verdict.function))"
  }

  private var whereItIs: String {
    var parts: [String] = []
    switch state {
    case .hole: return "no memory"
    case .reserved: parts.append("reserved at boot")
    case .free: parts.append("free")
    case .perCPU: parts.append("free, on a per-CPU list")
    case .pool: parts.append("free huge page of the hugetlb pool")
    case .allocated: parts.append(facts?.kind ?? "allocated")
    }
    if let block, block.order > 0 {
      parts[0] += ", order \(block.order)"
      if block.start != pfn { parts[0] += " from \(block.start)" }
    }
    if let zone {
      let type = cmaArea.map { "CMA block of area \($0)" } ?? "\(pageblockType.name) block"
      parts.append("\(type) in zone \(zone) of node \(node)")
    }
    return parts.joined(separator: ", ")
  }
}
