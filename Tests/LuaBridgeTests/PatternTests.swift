// Our find, match, gmatch and gsub against the stock ones, which an unsafe session can load from
// the installed library. The random patterns are mostly malformed or odd on purpose: error
// messages have to agree too.

import LuaBridge
import Testing

@Suite struct PatternTests {
  static let comparison = """
    local stock = assert(package.loadlib("liblua5.4.so.0", "luaopen_string"))()
    local ours = {}
    for name, f in pairs(string) do ours[name] = f end
    local function show(...)
      local t = table.pack(...)
      for i = 1, t.n do t[i] = tostring(t[i]) end
      return table.concat(t, "|", 1, t.n)
    end
    local function all(iterate, s, p, init)
      local found = {}
      for a, b, c in iterate(s, p, init) do
        found[#found + 1] = show(a, b, c)
        if #found > 100 then break end
      end
      return table.concat(found, ";")
    end
    local differences = 0
    local function same(what, f, g, ...)
      local a, b = show(pcall(f, ...)), show(pcall(g, ...))
      if a ~= b and not (a:find("too complex") or b:find("too complex")) then
        differences = differences + 1
        if differences < 10 then print(what, string.format("%q", show(...) .. " stock " .. a .. " ours " .. b)) end
      end
    end
    local function check(s, p, init)
      same("find", stock.find, ours.find, s, p, init)
      same("match", stock.match, ours.match, s, p, init)
      same("gmatch", function(...) return all(stock.gmatch, ...) end,
        function(...) return all(ours.gmatch, ...) end, s, p, init)
      same("gsub", stock.gsub, ours.gsub, s, p, "<%0%1%%>")
      same("gsub2", stock.gsub, ours.gsub, s, p, "%2.", 2)
      same("gsub3", stock.gsub, ours.gsub, s, p, { a = "A", ab = false, b = 1 })
      same("gsub4", stock.gsub, ours.gsub, s, p, function(x, y) return y or x end)
    end
    """

  @Test(arguments: 1...4) func randomPatterns(seed: UInt64) {
    let text = Fixture.printed(
      Self.comparison + """

        local pieces = { "a", "b", "c", ".", "%a", "%d", "%w", "%s", "%S", "%.", "%%", "%", "*", "+",
          "-", "?", "*", "(", ")", "()", "(", ")", "[", "]", "[ab]", "[^a]", "[a-c]", "[%a-]", "[]]",
          "[^]]", "[a-", "%1", "%2", "%0", "%b()", "%bab", "%b", "%f[a]", "%f[%w]", "%f", "^", "$",
          "\\0", "]", "^", "[%", "%g", "%U", "%x", "\\xe9", "[b-%d]" }
        local letters = { "a", "b", "c", "ab", "1", " ", "(", ")", ".", "%", "\\0", "]", "-", "\\xe9", "^" }
        local function draw(list, most)
          local t = {}
          for i = 1, math.random(0, most) do t[i] = list[math.random(#list)] end
          return table.concat(t)
        end
        for i = 1, 20000 do
          check(draw(letters, 10), draw(pieces, 6), math.random(3) == 1 and math.random(-5, 8) or nil)
        end
        print(differences)
        """, sandbox: false, seed: seed)
    #expect(text == "0\n")
  }

  /// Every pattern of up to four of these characters, on a few subjects.
  @Test func allShortPatterns() {
    let text = Fixture.printed(
      Self.comparison + """

        local chars = { "a", ".", "%", "*", "-", "(", ")", "[", "]", "^", "$", "1" }
        local function every(prefix, depth)
          check("aab1]", prefix)
          if depth == 0 then return end
          for i = 1, #chars do every(prefix .. chars[i], depth - 1) end
        end
        every("", 4)
        print(differences)
        """, sandbox: false)
    #expect(text == "0\n")
  }

  @Test(arguments: [
    ("('abc'):rep(3, ',')", "abc,abc,abc"), ("('x'):rep(0)", ""), ("('x'):rep(1, 'y')", "x"),
    ("#('ab'):rep(1000003, 'c')", "3000008"), ("(''):rep(1 << 60)", ""),
    ("('ab'):rep(5, '-')", "ab-ab-ab-ab-ab"),
    ("select(2, pcall(string.rep, 'xx', 1 << 62))", "resulting string too large"),
    ("('%5.1f|%s|%q|%-5d|'):format(1.25, nil, 'a', 7)", "  1.2|nil|\"a\"|7    |"),
    ("('%s'):format({})", "table: #1"),
    (
      "select(2, pcall(string.format, '%p', {}))",
      "'%p' is not available: addresses differ between runs"
    ),
  ])
  func otherStringFunctions(source: String, text: String) {
    #expect(Fixture.printed("print(\(source))") == text + "\n")
  }
}
