defmodule Penstock.StageModel.Members do
  @moduledoc false
  # Who takes part in the model of a producer, and for how much each of them waits.

  # Those who fail are out at once, and told of it later.
  def leave(model, key) do
    case model.subscribers do
      %{^key => %{in?: true, demand: demand} = subscriber} ->
        put(%{model | abandoned: model.abandoned + demand}, key, %{subscriber | in?: false, demand: 0})

      %{} ->
        model
    end
  end

  def expel(model, key, reason),
    do: leave(%{model | expelled: model.expelled ++ [{key, reason}]}, key)

  def demand(%{dispatcher: :broadcast} = model) do
    {blocking, lagging} = model |> members() |> Enum.split_with(fn {_key, s} -> s.lag == :block end)

    case {blocking, lagging} do
      {[], []} -> 0
      {[], lagging} -> lagging |> Enum.map(fn {_key, s} -> s.demand end) |> Enum.max()
      {blocking, _lagging} -> blocking |> Enum.map(fn {_key, s} -> s.demand end) |> Enum.min()
    end
  end

  def demand(%{dispatcher: {:partition, _count, _consumers}} = model), do: model.demand

  def demand(model),
    do: min(model |> members() |> Enum.map(fn {_key, s} -> s.demand end) |> Enum.sum(), model.left)

  def put(model, key, subscriber), do: %{model | subscribers: Map.put(model.subscribers, key, subscriber)}

  def members(model), do: for({key, %{in?: true} = s} <- model.subscribers, do: {key, s})

  def keys(model, partition), do: for({key, s} <- members(model), s.partition == partition, do: key)

  # The longest wait first among those who wait for most.
  def first(model, keys) do
    keys
    |> Enum.map(&{&1, model.subscribers[&1]})
    |> Enum.filter(fn {_key, s} -> s.demand > 0 end)
    |> Enum.max_by(fn {_key, s} -> {s.demand, -s.turn} end, fn -> nil end)
  end

  def credit(model, key, n) do
    subscriber = model.subscribers[key]
    taken_over = min(n, model.abandoned)

    %{
      model
      | turn: model.turn + 1,
        abandoned: model.abandoned - taken_over,
        demand: model.demand + n - taken_over
    }
    |> put(key, %{subscriber | demand: subscriber.demand + n, turn: model.turn + 1})
  end

  def spend(model, key, n) do
    subscriber = model.subscribers[key]

    put(%{model | turn: model.turn + 1}, key, %{
      subscriber
      | demand: subscriber.demand - n,
        turn: model.turn + 1
    })
  end
end
