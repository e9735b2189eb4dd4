defmodule Penstock.Stage.SubscriptionFilter do
  @moduledoc false
  # Which events a subscription wants, as its options say: patterns, and functions of one event that the producer runs
  # and that must not be able to hurt it.

  alias Penstock.Native
  alias Penstock.Stage.Options

  @type t :: [step, ...]
  @typep step ::
           {:match, [field], natively_from :: pos_integer | :infinity} | (event :: term -> as_boolean(term))
  @typep field :: {:is, key :: term, value :: term} | {:in, key :: term, [field]}

  # From this many events on a pattern is matched natively, which costs about the same there as here, 30 ns an event.
  # For fewer the call costs more than it saves.
  @many 64

  # How deep a pattern may be, as deep as JSON that can be read; and how many fields one may have that is matched natively: the
  # native core, which knows this limit too, goes down a pattern on its stack, and a call has to be short.
  @deepest 127
  @most_fields 64

  # How large text may be that is looked up or compared natively.
  @most_bytes 1024

  @doc "The filter of a subscription that takes these options; nil when it wants every event."
  @spec new(keyword, [:filter | :selector]) :: {:ok, t | nil} | {:error, message :: String.t()}
  def new(options, keys) do
    with {:ok, settings} <- Options.dispatched(options, Enum.flat_map(keys, &apply(Options, &1, []))) do
      case for key <- keys, step = settings[key], do: step do
        [] -> {:ok, nil}
        steps -> {:ok, steps}
      end
    end
  end

  @doc "What a `:filter` comes to."
  @spec filter(term) :: {:ok, step} | {:error, message :: String.t() | nil}
  def filter(function) when is_function(function, 1), do: {:ok, function}

  def filter({:match, pattern}) when is_map(pattern) do
    case count(pattern, 0, 0) do
      :deep ->
        {:error,
         "expected :filter to be a pattern of at most #{@deepest} maps in each other, got a deeper one"}

      n when n <= @most_fields ->
        {:ok, {:match, fields(pattern), @many}}

      _more ->
        {:ok, {:match, fields(pattern), :infinity}}
    end
  end

  def filter(_other), do: {:error, nil}

  @doc "What a `:selector` comes to."
  @spec selector(term) :: {:ok, step} | {:error, nil}
  def selector(function) when is_function(function, 1), do: {:ok, function}
  def selector(_other), do: {:error, nil}

  # How many fields a pattern has; `:infinity` when there is a value among them that takes long to compare.
  defp count(_pattern, depth, _fields) when depth > @deepest, do: :deep

  defp count(pattern, depth, fields) do
    Enum.reduce_while(pattern, fields, fn {key, value}, fields ->
      case weigh(key, value, depth, fields) do
        :deep -> {:halt, :deep}
        fields -> {:cont, fields}
      end
    end)
  end

  defp weigh(key, value, depth, fields) when is_map(value) and not is_struct(value),
    do: count(value, depth + 1, if(small?(key), do: add(fields), else: :infinity))

  defp weigh(key, value, _depth, fields),
    do: if(small?(key) and small?(value), do: add(fields), else: :infinity)

  defp add(:infinity), do: :infinity
  defp add(fields), do: fields + 1

  defp small?(term) when is_bitstring(term), do: bit_size(term) <= 8 * @most_bytes
  defp small?(term) when is_integer(term), do: abs(term) < 0x1_0000_0000_0000_0000
  defp small?(term), do: not (is_list(term) or is_tuple(term) or is_map(term) or is_function(term))

  # Nested lists, made once, so that an event costs no more than its lookups.
  defp fields(pattern) do
    for {key, value} <- pattern do
      if is_map(value) and not is_struct(value), do: {:in, key, fields(value)}, else: {:is, key, value}
    end
  end

  defp matches?([], event), do: is_map(event)

  defp matches?([{:is, key, value} | fields], event) do
    case event do
      %{^key => ^value} -> matches?(fields, event)
      _ -> false
    end
  end

  defp matches?([{:in, key, nested} | fields], event) do
    case event do
      %{^key => inner} -> matches?(nested, inner) and matches?(fields, event)
      _ -> false
    end
  end

  @doc "The events that are wanted and how many are not; or how the function failed."
  @spec run(t, [term]) :: {wanted :: [term], unwanted :: non_neg_integer} | {:failed, Exception.t() | term}
  def run(filter, events) do
    run(filter, events, 0)
  rescue
    exception -> {:failed, exception}
  catch
    kind, value -> {:failed, {kind, value}}
  end

  defp run([], events, unwanted), do: {events, unwanted}

  defp run([step | steps], events, unwanted) do
    {wanted, more} = step(step, events)
    run(steps, wanted, unwanted + more)
  end

  defp step({:match, fields, natively_from}, events) do
    if length(events) < natively_from,
      do: pick(events, &matches?(fields, &1), [], 0),
      else: fields |> Native.stage_filter(events) |> natively(fields)
  end

  defp step(function, events), do: pick(events, function, [], 0)

  # A call looks at so many events that it is soon over.
  defp natively({wanted, unwanted, []}, _fields), do: {wanted, unwanted}

  defp natively({wanted, unwanted, rest}, fields) do
    {later, more} = fields |> Native.stage_filter(rest) |> natively(fields)
    {wanted ++ later, unwanted + more}
  end

  defp pick([], _wanted?, wanted, unwanted), do: {:lists.reverse(wanted), unwanted}

  defp pick([event | events], wanted?, wanted, unwanted) do
    if wanted?.(event),
      do: pick(events, wanted?, [event | wanted], unwanted),
      else: pick(events, wanted?, wanted, unwanted + 1)
  end
end
