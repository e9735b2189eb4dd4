defmodule Penstock.Stage.Options do
  @moduledoc false
  # Takes options out of a keyword list one by one, each with its check. A complaint names the option,
  # what it takes and what it got; its wording is what users of GenStage know.

  @most Penstock.Stage.Protocol.most()

  # In words. A heap that starts small is collected for every few batches, with little to be found each time: at
  # ten events a batch, stages pass on a tenth more with this one. It holds the two messages of 500 structs that the
  # default demand has on the way.
  @min_heap_size 28_000

  @type checked(value) :: {:ok, value, keyword} | {:error, message :: String.t()}

  @doc "The largest number that a count may be."
  @spec most() :: pos_integer
  def most, do: @most

  @doc "Options to start the process of a stage with."
  @spec start(keyword) :: keyword
  def start(options) do
    Keyword.update(options, :spawn_opt, [min_heap_size: @min_heap_size], fn spawn ->
      if is_list(spawn) and not List.keymember?(spawn, :min_heap_size, 0),
        do: [{:min_heap_size, @min_heap_size} | spawn],
        else: spawn
    end)
  end

  @doc "An integer within a range."
  @spec integer(keyword, atom, term, Range.t()) :: checked(integer)
  def integer(options, key, default, min..max//_) do
    {value, options} = Keyword.pop(options, key, default)

    cond do
      not is_integer(value) -> expected(key, "an integer", value)
      value < min -> expected(key, "equal to or greater than #{min}", value)
      value > max -> expected(key, "equal to or less than #{max}", value)
      true -> {:ok, value, options}
    end
  end

  @doc "A count, or `:infinity`."
  @spec limit(keyword, atom, non_neg_integer | :infinity) :: checked(non_neg_integer | :infinity)
  def limit(options, key, default) do
    case Keyword.pop(options, key, default) do
      {:infinity, options} -> {:ok, :infinity, options}
      _ -> integer(options, key, default, 0..@most)
    end
  end

  @doc "One of some values."
  @spec one_of(keyword, atom, value, [value]) :: checked(value) when value: term
  def one_of(options, key, default, values) do
    {value, options} = Keyword.pop(options, key, default)
    if value in values, do: {:ok, value, options}, else: expected(key, "one of #{inspect(values)}", value)
  end

  @doc "A list."
  @spec list(keyword, atom, list) :: checked(list)
  def list(options, key, default) do
    {value, options} = Keyword.pop(options, key, default)
    if is_list(value), do: {:ok, value, options}, else: expected(key, "a list", value)
  end

  @doc "Nothing that nobody has taken."
  @spec none_left(keyword) :: :ok | {:error, message :: String.t()}
  def none_left([]), do: :ok
  def none_left(options), do: {:error, "unknown options #{inspect(options)}"}

  @doc "What a subscription takes; the rest of its options is the producer's business."
  @spec subscription(term) ::
          {:ok, cancel :: atom, min :: non_neg_integer, max :: pos_integer} | {:error, String.t()}
  def subscription(options) do
    if Keyword.keyword?(options) do
      with {:ok, max, _} <- integer(options, :max_demand, 1000, 1..@most),
           {:ok, min, _} <- integer(options, :min_demand, div(max, 2), 0..(max - 1)),
           {:ok, cancel, _} <- one_of(options, :cancel, :permanent, [:temporary, :transient, :permanent]) do
        {:ok, cancel, min, max}
      end
    else
      {:error, "expected subscription options to be a keyword list, got: #{inspect(options)}"}
    end
  end

  @doc "What is wrong with an option."
  @spec expected(atom, String.t(), term) :: {:error, message :: String.t()}
  def expected(key, what, value),
    do: {:error, "expected #{inspect(key)} to be #{what}, got: #{inspect(value)}"}
end
