internal import MemoryModel

/// Counts comparisons and words differences.
struct Checker {
  private(set) var compared = 0
  var differences: [String] = []

  mutating func check(_ what: @autoclosure () -> String, _ recorded: Int, _ model: Int) {
    compared += 1
    if recorded != model { differences.append("\(what()): recorded \(recorded), model \(model)") }
  }

  mutating func check(_ what: @autoclosure () -> String, _ recorded: [Int], _ model: [Int]) {
    compared += 1
    guard recorded != model else { return }
    let index =
      zip(recorded, model).enumerated().first { $0.element.0 != $0.element.1 }?.offset
      ?? min(recorded.count, model.count)
    let left = index < recorded.count ? "\(recorded[index])" : "end"
    let right = index < model.count ? "\(model[index])" : "end"
    differences.append(
      "\(what()): entry \(index) is \(left) recorded and \(right) in the model "
        + "(\(recorded.count) and \(model.count) entries)")
  }

  mutating func check(
    _ what: @autoclosure () -> String, _ type: MigrateType?, recorded: String, _ model: MigrateType
  ) {
    compared += 1
    if type != model { differences.append("\(what()): recorded \(recorded), model \(model.name)") }
  }
}
