defmodule Penstock.JsonTest do
  use ExUnit.Case, async: true

  alias Penstock.{Json, Native}

  # Generators: each takes a seeded state of :rand and gives a value and the next state.
  @letters ["a", "Z", " ", "\"", "\\", "/", "\n", "\t", <<0>>, <<31>>, "é", "€", "𝄞", "\u2028", "\uFFFF", "0"]

  defp pick(list, state) do
    {n, state} = :rand.uniform_s(length(list), state)
    {Enum.at(list, n - 1), state}
  end

  defp many(max, state, make) do
    {n, state} = :rand.uniform_s(max + 1, state)
    Enum.map_reduce(List.duplicate(nil, n - 1), state, fn _, state -> make.(state) end)
  end

  defp text(state) do
    {letters, state} = many(12, state, &pick(@letters, &1))
    {Enum.join(letters), state}
  end

  defp integer(state) do
    {bits, state} = :rand.uniform_s(140, state)
    {n, state} = :rand.uniform_s(Integer.pow(2, bits), state)
    pick([n, -n, n - 1, 0], state)
  end

  defp float(state) do
    {bits, state} = :rand.uniform_s(Integer.pow(2, 64), state)

    case <<bits - 1::64>> do
      <<value::float>> -> {value, state}
      _not_finite -> float(state)
    end
  end

  defp json(0, state) do
    {make, state} = pick([&text/1, &integer/1, &float/1, &pick([true, false, nil], &1)], state)
    make.(state)
  end

  defp json(depth, state) do
    case pick([:list, :map, :leaf], state) do
      {:leaf, state} ->
        json(0, state)

      {:list, state} ->
        many(6, state, &json(depth - 1, &1))

      {:map, state} ->
        {pairs, state} =
          many(6, state, fn state ->
            {key, state} = text(state)
            {value, state} = json(depth - 1, state)
            {{key, value}, state}
          end)

        {Map.new(pairs), state}
    end
  end

  defp samples(count, make) do
    for seed <- 1..count, do: seed |> then(&:rand.seed_s(:exsss, &1)) |> make.() |> elem(0)
  end

  defp decoded!(text) do
    {:ok, term} = Json.decode(text)
    assert Native.json_decode_dirty(text) == {:ok, term}
    term
  end

  test "what is written is read back the same" do
    for term <- samples(500, &json(4, &1)) do
      {:ok, text} = Json.encode(term)
      assert decoded!(text) === term
    end
  end

  test "integers of any size are exact, floats stay floats" do
    for n <- [
          0,
          -1,
          1,
          2 ** 63 - 1,
          2 ** 63,
          -(2 ** 63),
          -(2 ** 63) - 1,
          2 ** 64 - 1,
          2 ** 64,
          10 ** 30,
          -(10 ** 400)
        ] do
      assert decoded!("#{n}") === n

      assert decoded!(~s([1.5, {"n": #{n}}, "99999999999999999999", #{n}, 1e20])) ===
               [1.5, %{"n" => n}, "99999999999999999999", n, 1.0e20]

      assert Json.encode([n]) == {:ok, "[#{n}]"}
    end

    assert decoded!("-0") === 0
    assert decoded!("-0.0") |> to_string() == "-0.0"
    assert decoded!("1E2") === 100.0
    assert decoded!("100000000000000000000.0") === 1.0e20
  end

  test "an integer of more than 1000 digits is refused both ways" do
    longest = String.duplicate("9", 1000)
    assert decoded!(longest) == String.to_integer(longest)
    assert Json.encode(String.to_integer(longest)) == {:ok, longest}
    assert {:error, message} = Json.decode("[" <> longest <> "9]")
    assert message =~ "more than 1000 digits"
    assert {:error, message} = Json.encode(%{"n" => 10 ** 1000})
    assert message =~ ~s($["n"] is an integer of more than 1000 digits)
  end

  test "a number beyond every float is refused" do
    assert {:error, _} = Json.decode("1e400")
    assert {:error, _} = Json.decode("[99999999999999999999, 1e400]")
  end

  test "escapes and surrogates become the characters they stand for" do
    assert decoded!(~S("\u0041\u00e9\ud834\udd1e\n\/\"\\")) == "Aé𝄞\n/\"\\"
    assert decoded!(~S("\u0000")) == <<0>>
    assert {:error, _} = Json.decode(~S("\ud834"))
    assert {:error, _} = Json.decode(~S("\udd1e\ud834"))
  end

  test "text that is no UTF-8 is refused" do
    assert {:error, _} = Json.decode(<<"\"", 0xFF, "\"">>)
    assert {:error, _} = Json.decode(<<"{\"", 0xC3, "\":1}">>)
  end

  test "of equal keys the last one counts, in maps of any size" do
    assert decoded!(~s({"a":1,"b":2,"a":3})) == %{"a" => 3, "b" => 2}
    keys = Enum.map_join(1..100, ",", &~s("k#{&1}":#{&1}))
    assert decoded!("{#{keys},\"k1\":0}") == Map.new(1..100, &{"k#{&1}", &1}) |> Map.put("k1", 0)
  end

  test "objects with the same keys, in any order and number, are the maps that each of them is alone" do
    keys = [
      "order",
      "customer",
      "total",
      "paid",
      "a",
      "",
      "é",
      String.duplicate("k", 32),
      String.duplicate("k", 33)
    ]

    rows =
      for seed <- 1..200 do
        {count, state} = :rand.uniform_s(length(keys), :rand.seed_s(:exsss, seed))
        {keys, _state} = Enum.map_reduce(1..count, state, fn _, state -> pick(keys, state) end)
        keys |> Enum.with_index() |> Enum.map_join(",", fn {key, at} -> ~s("#{key}":#{seed + at}) end)
      end

    objects = for row <- rows ++ Enum.reverse(rows), do: "{#{row}}"
    assert decoded!("[#{Enum.join(objects, ",")}]") == Enum.map(objects, &decoded!/1)
  end

  test "maps of more than 32 keys and long lists are maps and lists" do
    map = Map.new(1..1000, &{"k#{&1}", Enum.to_list(1..&1//7)})
    {:ok, text} = Json.encode(map)
    assert decoded!(text) == map
  end

  test "127 levels are read and written, more are refused" do
    nested = fn levels -> String.duplicate("[", levels) <> String.duplicate("]", levels) end
    assert {:ok, term} = Json.decode(nested.(127))
    assert Json.encode(term) == {:ok, nested.(127)}
    assert {:error, message} = Json.decode(nested.(128))
    assert message =~ "recursion limit"
    assert {:error, message} = Json.encode([[term]])
    assert message =~ "deeper than"
    assert {:error, _} = Json.decode(String.duplicate("[", 1_000_000))
  end

  test "what is no JSON is refused" do
    for text <- [
          "",
          " ",
          "{",
          "[1,]",
          "{\"a\"}",
          "{a:1}",
          "01",
          "1 2",
          "nul",
          "'a'",
          "[1]x",
          "\"a\n\"",
          "NaN",
          "-"
        ] do
      assert {:error, message} = Json.decode(text)
      assert is_binary(message)
    end
  end

  test "damaged documents are read or refused, never worse" do
    for seed <- 1..300 do
      {term, state} = json(3, :rand.seed_s(:exsss, seed))
      {:ok, text} = Json.encode(term)
      {at, state} = :rand.uniform_s(byte_size(text), state)
      {byte, _} = :rand.uniform_s(256, state)
      head = binary_part(text, 0, at - 1)
      tail = binary_part(text, at, byte_size(text) - at)

      for damaged <- [head, <<head::binary, byte - 1, tail::binary>>, head <> tail] do
        assert elem(Json.decode(damaged), 0) in [:ok, :error]
      end
    end
  end

  test "keys may be binaries, atoms and integers; other atoms are strings" do
    assert Json.encode(%{a: :b}) == {:ok, ~s({"a":"b"})}
    assert Json.encode(%{1 => nil, "x" => [true, false]}) == {:ok, ~s({"1":null,"x":[true,false]})}
    assert Json.encode(%{nil => 1.0}) == {:ok, ~s({"nil":1.0})}
    assert Json.encode(:é) == {:ok, ~s("é")}
  end

  test "nil and Erlang's null are null" do
    assert Json.encode([nil, :null, %{"a" => :null}]) == {:ok, ~s([null,null,{"a":null}])}
    assert Json.encode(:null) == {:ok, "null"}
  end

  test "an error names what has no form in JSON, and where" do
    for {term, message} <- [
          {{1, 2}, "$ is a tuple"},
          {%{a: [1, %{"b" => self()}]}, ~s($["a"][1]["b"] is a pid)},
          {[make_ref()], "$[0] is a reference"},
          {[fn -> 1 end], "$[0] is a function"},
          {%{"a" => :undefined}, ~s($["a"] is the atom undefined \(write null, or leave it out\))},
          {[a: 1], "$[0] is a tuple"},
          {%{at: ~D[2026-01-01]}, ~s($["at"] is a struct \(Date\))},
          {%{"b" => <<0xFF>>}, ~s($["b"] is a binary that is not UTF-8)},
          {<<1::3>>, "$ is a bitstring"},
          {[1 | 2], "$ is an improper list"},
          {%{"m" => %{{1} => 2}}, ~s(a key of the map at $["m"] is a tuple)}
        ] do
      assert {:error, text} = Json.encode(term)
      assert text =~ message
    end
  end

  test "what is too much for an ordinary call is written by a dirty one" do
    for large <- [Enum.to_list(1..50_000), String.duplicate("x", 50_000), Map.new(1..20_000, &{&1, []})] do
      assert Native.json_encode(large) == {:error, :large}
      assert {:ok, text} = Json.encode(large)
      assert {:ok, _} = Json.decode(text)
    end

    assert {:error, text} = Json.encode(Enum.to_list(1..50_000) ++ [self()])
    assert text =~ "$[50000] is a pid"
  end
end
