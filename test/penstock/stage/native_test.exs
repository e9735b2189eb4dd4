defmodule Penstock.Stage.NativeTest do
  # What the functions of the native core do with arguments that the stages never give them.
  use ExUnit.Case, async: true

  alias Penstock.Native

  @demand {:demand, nil, nil, nil}
  @large 18_446_744_073_709_551_615

  defp output(dispatcher \\ @demand), do: Native.stage_new(:infinity, :last, dispatcher)

  # How a subscriber takes part.
  defp how(:broadcast), do: :block
  defp how({:partition, _count, nil}), do: {:partition, 0}
  defp how({:demand, _max, _seed, _rate}), do: nil

  defp refused(function) do
    function.()
  rescue
    error in [ArgumentError, ErlangError] ->
      refute match?(%ErlangError{original: :output_poisoned}, error)
      refute match?(%ErlangError{original: :nif_panicked}, error)
      :refused
  end

  @garbage [nil, :what, -1, 1.5, "x", [1 | 2], [[1 | 2]], %{}, {}, {1, 2, 3}, @large + 1, self()]

  test "arguments of any other kind are refused, and the output is as before" do
    for dispatcher <- [@demand, :broadcast, {:partition, 4, nil}] do
      output = output(dispatcher)
      :ok = Native.stage_subscribe(output, 1, how(dispatcher))

      for {function, arity} <- Native.__info__(:functions),
          String.starts_with?(to_string(function), "stage_"),
          function not in [:stage_new, :stage_filter, :stage_extent],
          arity > 1,
          garbage <- @garbage,
          at <- 1..(arity - 1) do
        arguments = [output | List.replace_at(List.duplicate(0, arity - 1), at - 1, garbage)]
        # some take any term where others take a number
        unless function in [:stage_spill, :stage_subscribe, :stage_take_back, :stage_split],
          do:
            assert(
              {function, garbage, :refused} ==
                {function, garbage, refused(fn -> apply(Native, function, arguments) end)}
            )

        refused(fn -> apply(Native, function, arguments) end)
      end

      assert Native.stage_ask(output, 1, 3) in [3, :buffered]
    end
  end

  test "an output is made of what there is" do
    for arguments <- [
          [-1, :last, @demand],
          [@large + 1, :last, @demand],
          [:many, :last, @demand],
          [1, :middle, @demand],
          [1, nil, @demand],
          [1, :last, :unheard_of],
          [1, :last, {:demand, nil, nil}],
          [1, :last, {:broadcast, nil, nil, nil}],
          [1, :last, {:partition, 0, nil}],
          [1, :last, {:partition, 2, :id}],
          [1, :last, {:partition, @large, nil}],
          [1, :last, {:partition, 10_000_001, nil}],
          [1, :last, {:demand, -1, nil, nil}]
        ] do
      assert refused(fn -> apply(Native, :stage_new, arguments) end) == :refused
    end
  end

  test "how a subscriber may lag is one of three" do
    for how <- [nil, :what, {:drop_newest, 1}, {:drop_oldest, -1}, {:drop_oldest, @large + 1}, []] do
      assert refused(fn -> Native.stage_subscribe(output(:broadcast), 1, how) end) == :refused
    end
  end

  test "a subscriber takes part as its dispatcher has it" do
    for {dispatcher, how} <- [{@demand, 0}, {@demand, :block}, {:broadcast, 0}, {{:partition, 1, nil}, nil}] do
      output = output(dispatcher)
      assert refused(fn -> Native.stage_subscribe(output, 1, how) end) == :refused
      assert refused(fn -> Native.stage_ask(output, 1, 1) end) == :refused
    end
  end

  test "only what has just been dealt ahead is taken back" do
    output = output()
    :ok = Native.stage_subscribe(output, 1, nil)

    for to <- [1, 2, :everyone, :split, nil], n <- [0, 1, @large] do
      assert refused(fn -> Native.stage_take_back(output, to, n) end) == :refused
    end

    # until a source that is prompt is asked ahead
    ahead =
      Enum.find_value(1..20, fn _ ->
        case Native.stage_ask_ahead(output, 1, 5) do
          {:ahead, 1, 5} = ahead ->
            ahead

          5 ->
            assert Native.stage_emit(output, 5) == 1
            nil
        end
      end)

    assert ahead == {:ahead, 1, 5}
    assert refused(fn -> Native.stage_take_back(output, 1, 6) end) == :refused
    # the refusal was a call as well
    assert refused(fn -> Native.stage_take_back(output, 1, 5) end) == :refused
    assert Native.stage_demand(output) == 0
  end

  test "an improper list of counts is refused, whole" do
    output = output({:partition, 2, nil})
    :ok = Native.stage_subscribe(output, 1, {:partition, 0})
    2 = Native.stage_ask(output, 1, 2)

    for counts <- [[1 | 1], [1, :x], [1, -1], 7, List.duplicate(0, 1001)] do
      assert refused(fn -> Native.stage_split(output, 0, counts, 0) end) == :refused
    end

    assert refused(fn -> Native.stage_deal_to(output, 0, 2, 1) end) == :refused
    assert refused(fn -> Native.stage_split(output, 0, [0, 0, 1], 0) end) == :refused
    assert Native.stage_split(output, 2, [1, 1], 0) == [1, []]
  end

  test "sums stay numbers" do
    for dispatcher <- [@demand, :broadcast, {:partition, 1, nil}] do
      output = output(dispatcher)
      :ok = Native.stage_subscribe(output, 1, how(dispatcher))
      for _ <- 1..4, do: Native.stage_ask(output, 1, @large)
      for _ <- 1..4, do: Native.stage_credit(output, 1, @large)
      assert Native.stage_demand(output) > 0
      assert Native.stage_demand(output) == Native.stage_demand_of(output, 1)
      for _ <- 1..4, do: Native.stage_emit(output, @large)
    end

    output = output()
    for _ <- 1..4, do: Native.stage_keep(output, @large)
    assert Native.stage_buffered(output) == @large
  end

  test "events that are stored are a list of at least as many" do
    output = output()
    Native.stage_keep(output, 10_000)

    for events <- [[], [1], [1 | 2], :x, %{}] do
      assert refused(fn -> Native.stage_spill(output, events, 2) end) == :refused
      assert Native.stage_buffered(output) == 10_000
    end

    assert {[3], 2, 0, 0, 0} = Native.stage_spill(output, [1, 2, 3], 2)
    assert Native.stage_buffered(output) == 10_002
  end

  test "a pattern is refused that is too deep, too wide or no pattern" do
    deep = fn n -> Enum.reduce(1..n, [], fn _, fields -> [{:in, :a, fields}] end) end
    wide = fn n -> for i <- 1..n, do: {:is, i, i} end
    assert {[], 1, []} = Native.stage_filter(deep.(64), [%{}])
    assert {[], 1, []} = Native.stage_filter(wide.(64), [%{}])

    for fields <- [
          deep.(65),
          deep.(129),
          deep.(100_000),
          wide.(65),
          [{:is, 1, 2} | 3],
          [{:out, 1, 2}],
          [:x],
          7
        ] do
      assert refused(fn -> Native.stage_filter(fields, [%{}]) end) == :refused
    end

    for events <- [7, [%{} | %{}]], do: assert(refused(fn -> Native.stage_filter([], events) end) == :refused)
  end

  test "the extent of events is what a copy has, in bounded time" do
    # as a tree it has 2^60 parts
    folded = Enum.reduce(1..60, :leaf, fn _, term -> {term, term} end)
    long = Enum.to_list(1..100_000)
    assert Native.stage_extent([folded, 1], 2) == 0
    assert Native.stage_extent([long], 1) == 0
    assert Native.stage_extent([1, fn -> long end, 2], 3) == 1
    assert Native.stage_extent([%{a: [1 | 2]}, {1, {2, "x"}}, 3.5], 2) == 2
    assert Native.stage_extent([], 2) == 0
    assert refused(fn -> Native.stage_extent([1 | 2], 2) end) == :refused
  end
end
