/// A size for people: `512 B`, `64 KiB`, `2 MiB`, `1.46 GiB`.
///
/// Whole units print without decimals, others with three digits, so `1.46 GiB` is rounded and
/// `2 MiB` is exact. Nothing here is locale-dependent.
public func formatSize(_ bytes: Int) -> String {
  if bytes < 0 { return "-" + formatSize(-bytes) }
  let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
  var unit = 0
  while unit < units.count - 1 && bytes >> (10 * (unit + 1)) > 0 { unit += 1 }
  let size = 1 << (10 * unit)
  let whole = bytes / size
  if bytes % size == 0 { return "\(whole) \(units[unit])" }
  let decimals = whole < 10 ? 2 : whole < 100 ? 1 : 0
  let scale = decimals == 2 ? 100 : decimals == 1 ? 10 : 1
  // Rounded half up on the remainder alone: `bytes * 100` could overflow.
  let fraction = (bytes % size * scale + size / 2) / size
  let rounded = whole * scale + fraction
  if rounded >= 1024 * scale, unit < units.count - 1 { return "1 " + units[unit + 1] }
  if scale == 1 { return "\(rounded) \(units[unit])" }
  let digits = String(rounded % scale)
  let zeros = String(repeating: "0", count: decimals - digits.count)
  return "\(rounded / scale).\(zeros)\(digits) \(units[unit])"
}

/// A share in whole per cent; `<1 %` and `>99 %` instead of a rounded 0 and 100.
public func formatShare(_ part: Int, of whole: Int) -> String {
  guard whole > 0, part > 0 else { return "0 %" }
  let percent = Int((Double(part) * 100 / Double(whole)).rounded())
  if percent == 0 { return "<1 %" }
  if percent >= 100 && part < whole { return ">99 %" }
  return "\(percent) %"
}
