defmodule Penstock.StageModel.Dealing do
  @moduledoc false
  # Whose events are whose in the model of a producer: each dispatcher, the queues of partitions, and messages behind events.

  import Penstock.StageModel.Members

  def deal(%{dispatcher: :broadcast} = model, available) do
    case min(demand(model), available) do
      0 ->
        nil

      n ->
        blocking = for {key, %{lag: :block}} <- members(model), do: key
        {:everyone, n, Enum.reduce(blocking, model, &spend(&2, &1, n))}
    end
  end

  def deal(%{dispatcher: {:partition, _count, _consumers}} = model, available) do
    case min(model.demand, available) do
      0 -> nil
      n -> {:split, n, %{model | demand: model.demand - n}}
    end
  end

  def deal(model, available) do
    with n when n > 0 <- min(available, model.left),
         {key, subscriber} <- first(model, Map.keys(model.subscribers)) do
      n = min(n, subscriber.demand)
      left = if model.left == :infinity, do: :infinity, else: model.left - n
      {key, n, spend(%{model | left: left}, key, n)}
    else
      _ -> nil
    end
  end

  def hand(model, :everyone, events),
    do: model.subscribers |> Map.keys() |> Enum.sort() |> Enum.reduce(model, &share(&2, &1, events))

  def hand(model, :split, events), do: split(model, events)
  def hand(model, key, events), do: deliver(model, key, events)

  defp share(model, key, events) do
    case model.subscribers[key] do
      %{in?: false} -> model
      %{lag: :block} -> deliver(model, key, events)
      subscriber -> lag(model, key, subscriber, filter(subscriber, events), length(events))
    end
  end

  defp lag(model, key, _subscriber, :failed, _dealt), do: expel(model, key, :filter_failed)

  defp lag(model, key, subscriber, wanted, dealt) do
    {now, later} = Enum.split(wanted, subscriber.demand)
    model = %{model | flow?: model.flow? or length(wanted) < dealt}

    case subscriber.lag do
      :cancel when later != [] ->
        # what it was cancelled for was not its own
        expel(%{model | flow?: model.flow?}, key, :lagging)

      :cancel ->
        model |> spend(key, length(now)) |> got(key, now)

      {:drop_oldest, limit} ->
        queue = Enum.take(subscriber.queue ++ later, -limit)
        model = model |> spend(key, length(now)) |> got(key, now)
        put(model, key, %{model.subscribers[key] | queue: queue})
    end
  end

  defp split(%{dispatcher: {:partition, count, _consumers}} = model, events) do
    lists = Enum.group_by(events, &model.partition_of.(&1, count))
    none = length(Map.get(lists, :none, []))
    model = %{model | demand: model.demand + none, flow?: model.flow? or none > 0}

    {deliveries, model} =
      lists
      |> Map.delete(:none)
      |> Enum.sort()
      |> Enum.flat_map_reduce(model, fn {partition, events}, model ->
        if queue(model, partition) == [] do
          {deals, rest, model} = deal_among(model, partition, events, [])
          {deals, enqueue(model, partition, rest)}
        else
          {[], enqueue(model, partition, events)}
        end
      end)

    Enum.reduce(deliveries, model, fn {key, events}, model -> deliver(model, key, events) end)
  end

  defp deal_among(model, _partition, [], deals), do: {Enum.reverse(deals), [], model}

  defp deal_among(model, partition, events, deals) do
    case first(model, keys(model, partition)) do
      nil ->
        {Enum.reverse(deals), events, model}

      {key, %{demand: demand}} ->
        {now, later} = Enum.split(events, demand)
        model |> spend(key, length(now)) |> deal_among(partition, later, [{key, now} | deals])
    end
  end

  def queue(model, partition), do: Map.get(model.queues, partition, [])

  defp enqueue(model, partition, events),
    do: put_queue(model, partition, queue(model, partition) ++ Enum.map(events, &{:event, &1}))

  defp put_queue(model, partition, queue), do: %{model | queues: Map.put(model.queues, partition, queue)}

  def serve_queue(model, partition) do
    {deals, model} = serve(model, partition, [])

    Enum.reduce(deals, model, fn
      {:mark, message}, model -> let_by(model, message)
      {key, events}, model -> deliver(model, key, events)
    end)
  end

  defp serve(model, partition, deals) do
    case {queue(model, partition), first(model, keys(model, partition))} do
      {[{:mark, message} | queue], _first} ->
        model |> put_queue(partition, queue) |> serve(partition, [{:mark, message} | deals])

      {[_ | _] = queue, {key, %{demand: demand}}} ->
        now = queue |> Enum.take_while(&match?({:event, _}, &1)) |> Enum.take(demand)

        model
        |> put_queue(partition, Enum.drop(queue, length(now)))
        |> spend(key, length(now))
        |> serve(partition, [{key, Enum.map(now, &elem(&1, 1))} | deals])

      {_queue, _first} ->
        {Enum.reverse(deals), model}
    end
  end

  def mark(%{buffer: []} = model, message), do: pass(model, message)
  def mark(model, message), do: %{model | buffer: model.buffer ++ [{:mark, message}]}

  def pass(model, message) do
    case for {partition, [_ | _]} <- model.queues, do: partition do
      [] ->
        %{model | noted: [message | model.noted]}

      behind ->
        model = %{model | held_back: Map.put(model.held_back, message, length(behind))}
        Enum.reduce(behind, model, &put_queue(&2, &1, queue(&2, &1) ++ [{:mark, message}]))
    end
  end

  defp let_by(model, message) do
    case model.held_back[message] do
      1 -> %{model | noted: [message | model.noted], held_back: Map.delete(model.held_back, message)}
      n -> %{model | held_back: Map.put(model.held_back, message, n - 1)}
    end
  end

  defp deliver(model, key, events) do
    case model.subscribers do
      %{^key => %{in?: true} = subscriber} ->
        case filter(subscriber, events) do
          :failed -> expel(model, key, :filter_failed)
          wanted -> model |> got(key, wanted) |> unwanted(key, length(events) - length(wanted))
        end

      %{} ->
        model
    end
  end

  defp unwanted(model, _key, 0), do: model

  defp unwanted(model, key, n) do
    partition = model.subscribers[key].partition
    credited = if queue(model, partition) == [], do: [], else: [partition]
    credit(%{model | flow?: true, credited: credited ++ model.credited}, key, n)
  end

  def got(model, key, events), do: %{model | got: Map.update(model.got, key, events, &(&1 ++ events))}

  defp filter(%{filter: nil}, events), do: events

  defp filter(%{filter: filter}, events) do
    Enum.filter(events, filter)
  rescue
    _error -> :failed
  end
end
