defmodule Penstock.Stage.SubscriptionFilterTest do
  use ExUnit.Case, async: true

  alias Penstock.Stage.SubscriptionFilter

  defp filter(options) do
    {:ok, filter} = SubscriptionFilter.new(options, [:filter, :selector])
    filter
  end

  # What a pattern means, word for word.
  defp wanted?(pattern, event) do
    is_map(event) and
      Enum.all?(pattern, fn {key, value} ->
        case event do
          %{^key => inner} when is_map(value) and not is_struct(value) -> wanted?(value, inner)
          %{^key => found} -> found === value
          %{} -> false
        end
      end)
  end

  @values [
            1,
            1.0,
            "paid",
            :paid,
            [1, %{a: 1}],
            {1, "x"},
            %{a: 1, b: %{c: 2}},
            %{},
            1_180_591_620_717_411_303_424
          ] ++
            [nil, ~D[2026-01-01], :binary.copy("long", 40), %{"a" => 1}]

  defp value, do: Enum.random(@values)

  defp event,
    do: Enum.random([%{a: value(), b: value(), c: value()}, %{"a" => value()}, %URI{host: value()}, value()])

  defp pattern,
    do: Enum.random([%{a: value()}, %{a: value(), b: value()}, %{"a" => value()}, %{host: value()}, %{}])

  test "a pattern wants the same events however many there are" do
    for size <- [0, 1, 10, 63, 64, 65, 511, 512, 513, 2000], _ <- 1..20 do
      pattern = pattern()
      events = for _ <- 1..size//1, do: event()
      expected = Enum.filter(events, &wanted?(pattern, &1))

      assert SubscriptionFilter.run(filter(filter: {:match, pattern}), events) ==
               {expected, size - length(expected)}
    end
  end

  test "patterns of maps with many keys hold as well" do
    event = Map.new(1..100, &{&1, {:value, &1}})
    events = for n <- 1..100, do: Map.put(event, 50, n)
    pattern = event |> Map.put(50, 7) |> Map.delete(3)
    assert SubscriptionFilter.run(filter(filter: {:match, pattern}), events) == {[Map.put(event, 50, 7)], 99}
  end

  test "a selector has the last word on what the filter wants" do
    events = for n <- 1..200, do: %{n: n, even: rem(n, 2) == 0}
    selector = fn %{n: n, even: true} -> n > 100 end

    for filter <- [{:match, %{even: true}}, & &1.even] do
      assert {wanted, 150} = SubscriptionFilter.run(filter(filter: filter, selector: selector), events)
      assert Enum.map(wanted, & &1.n) == Enum.to_list(102..200//2)
    end
  end

  defp nested(depth), do: Enum.reduce(1..depth//1, %{a: 1}, fn _, map -> %{a: map} end)

  test "a pattern may be as deep as JSON, and is refused beyond that" do
    for depth <- [1, 63, 64, 127] do
      events = List.duplicate(nested(depth), 100) ++ List.duplicate(nested(depth - 1), 100)

      assert SubscriptionFilter.run(filter(filter: {:match, nested(depth)}), events) ==
               {Enum.take(events, 100), 100}
    end

    for depth <- [128, 2000, 100_000] do
      assert {:error, message} = SubscriptionFilter.new([filter: {:match, nested(depth)}], [:filter])
      assert message =~ "at most 127 maps in each other"
    end
  end

  test "patterns that take long to compare mean the same" do
    wide = Map.new(1..1000, &{&1, &1})
    heavy = %{list: Enum.to_list(1..1000), tuple: {1, {2, 3}}, struct: ~D[2026-01-01], nested: %{[1] => 2}}

    for pattern <- [wide, heavy, %{wide: wide, heavy: heavy}] do
      events = List.duplicate(pattern, 100) ++ [%{}] ++ List.duplicate(Map.put(pattern, 1, :other), 100)
      expected = Enum.filter(events, &wanted?(pattern, &1))

      assert SubscriptionFilter.run(filter(filter: {:match, pattern}), events) ==
               {expected, 201 - length(expected)}
    end
  end
end
