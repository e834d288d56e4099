extension Machine {
  /// A warning of which the log holds one; its line number, process and call trace are left out.
  ///
  /// Kernel: `WARN_ON_ONCE()`.
  package mutating func warnOnce(_ file: String, _ function: String) {
    let line = "WARNING: CPU: \(currentCPU) at \(file) \(function)"
    guard !log.lines.contains(where: { $0.hasPrefix("WARNING: ") && $0.hasSuffix(function) })
    else { return }
    log.append(line)
  }
}
