// Whether to colour. An explicit option wins over the environment, and the environment over what the
// output happens to be.

/// What the user asked for with `--color`.
public enum ColorChoice: String, CaseIterable, Sendable {
  case auto, always, never

  /// Whether output should have colour.
  ///
  /// In order of strength: the option; `NO_COLOR` set to anything but nothing (no-color.org);
  /// `CLICOLOR_FORCE` set and not `0`; `TERM=dumb`; whether the output is a terminal.
  public func allowsColor(
    isTerminal: Bool, environment: (String) -> String? = Terminal.environment
  ) -> Bool {
    switch self {
    case .always: return true
    case .never: return false
    case .auto: break
    }
    if let value = environment("NO_COLOR"), !value.isEmpty { return false }
    if let value = environment("CLICOLOR_FORCE"), !value.isEmpty, value != "0" { return true }
    if environment("TERM") == "dumb" { return false }
    return isTerminal
  }
}

/// The few colours that a prompt uses, by what they say.
enum Style: String {
  case prompt = "\u{1B}[1;32m"
  case failure = "\u{1B}[31m"

  static let reset = "\u{1B}[0m"

  func callAsFunction(_ text: String) -> String { rawValue + text + Self.reset }
}
