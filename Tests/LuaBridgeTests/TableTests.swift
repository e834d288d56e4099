// table.* against the stock functions, and the fixed order of pairs and next.

import LuaBridge
import Testing

@Suite struct TableTests {
  @Test func agreesWithStock() {
    let text = Fixture.printed(
      """
      local stock = assert(package.loadlib("liblua5.4.so.0", "luaopen_table"))()
      local differences = 0
      local function text(t)
        local keys = {}
        for i = -3, 14 do keys[#keys + 1] = i .. "=" .. tostring(t[i]) end
        return table.concat(keys, ",")
      end
      local function same(name, make, ...)
        local a, b = make(), make()
        local ra, rb = table.pack(pcall(stock[name], a, ...)), table.pack(pcall(table[name], b, ...))
        local left, right = tostring(ra[1]) .. text(a), tostring(rb[1]) .. text(b)
        if type(ra[2]) ~= "table" then
          left = left .. tostring(ra[2]); right = right .. tostring(rb[2])
        end
        -- Functions that nothing global holds have no name in messages.
        left = left:gsub("#%d to '[^']*'", "")
        right = right:gsub("#%d to '[^']*'", "")
        if left ~= right then
          differences = differences + 1
          if differences < 5 then print(name, left, right, ...) end
        end
      end
      for i = 1, 5000 do
        local n = math.random(0, 8)
        local function make() local t = {} for i = 1, n do t[i] = (i * 7) % 11 end return t end
        local function r() return math.random(-2, 10) end
        same("insert", make, r())
        same("insert", make, r(), r())
        same("insert", make)
        same("remove", make)
        same("remove", make, r())
        same("move", make, r(), r(), r())
        same("concat", make, ",")
        same("concat", make, ",", r(), r())
        same("sort", make)
        same("sort", make, function(a, b) return a > b end)
      end
      print(differences)
      """, sandbox: false)
    #expect(text == "0\n")
  }

  @Test func orderOfPairs() {
    #expect(
      Fixture.printed(
        """
        local a, b = counter{ start = 1 }, counter{ start = 2 }
        local t = { 10, 20, [7] = 1, [-1] = 2, [0.5] = 3, z = 4, b = 5, [true] = 6, [b] = 7, [a] = 8,
          [""] = 9, aa = 0, [false] = 1, [math.huge] = 2 }
        local list = {}
        for k in pairs(t) do list[#list + 1] = tostring(k) end
        print(table.concat(list, " "))
        list = {}
        local k = next(t)
        while k ~= nil do list[#list + 1] = tostring(k) k = next(t, k) end
        print(table.concat(list, " "))
        """)
          == """
          1 2 7 -1 0.5 inf  aa b z false true counter at 1 counter at 2
          1 2 7 -1 0.5 inf  aa b z false true counter at 1 counter at 2

          """)
  }

  @Test func fieldsMayChangeDuringTraversal() {
    #expect(
      Fixture.printed(
        """
        local t = {} for i = 1, 100 do t["k" .. i] = i end
        local seen = 0
        for k, v in pairs(t) do seen = seen + 1 t[k] = nil t["k" .. (101 - v)] = nil end
        print(seen, next(t))
        local queue = {} for i = 1, 2000 do queue["q" .. i] = true end
        local n = 0
        while next(queue) do local k = next(queue) queue[k] = nil n = n + 1 end
        print(n, pcall(next, {}, "nothing"))
        """) == "50\tnil\n2000\tfalse\tinvalid key to 'next'\n")
  }

  @Test func traversalIsNotQuadratic() {
    let session = Fixture.session(LuaLimits(time: .seconds(10)))
    let outcome = session.run(
      """
      local t = {} for i = 1, 200000 do t["k" .. i] = i end
      local n = 0
      for k in pairs(t) do n = n + 1 end
      for k in next, t do n = n + 1 end
      return n
      """)
    #expect(outcome.values?.first?.integer == 400_000)
  }

  @Test func sortIsStableAndBounded() {
    #expect(
      Fixture.printed(
        """
        local t = {} for i = 1, 500 do t[i] = { key = i % 3, at = i } end
        table.sort(t, function(a, b) return a.key < b.key end)
        for i = 2, 500 do
          assert(t[i-1].key < t[i].key or t[i-1].key == t[i].key and t[i-1].at < t[i].at)
        end
        table.sort(t, function() return true end)
        print(#t, pcall(table.sort, {1, "x"}))
        """) == "500\tfalse\tattempt to compare string with number\n")
  }
}
