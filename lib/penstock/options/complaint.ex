defmodule Penstock.Options.Complaint do
  @moduledoc false
  # What is wrong with options, and the forms in which that is said. Each names the option, what it takes and what it got.

  alias __MODULE__
  alias Penstock.Options

  @enforce_keys [:kind, :option, :got]
  defstruct [:kind, :option, :got, :type, :schema, :message, within: []]

  @type kind :: :no_list | :unknown | :twice | :required | :wrong
  @type t :: %Complaint{
          kind: kind,
          option: atom,
          got: term,
          type: Options.type() | nil,
          schema: Options.schema() | nil,
          message: String.t() | nil,
          within: [atom]
        }

  @spec new(kind, atom, term) :: t
  def new(kind, option, got), do: %Complaint{kind: kind, option: option, got: got}

  @doc "The same of the options that are the value of another."
  @spec within(t, atom) :: t
  def within(wrong, option), do: %{wrong | within: [option | wrong.within]}

  @doc "For an exception that says whose option it is."
  @spec of_owner(t, String.t()) :: String.t()
  def of_owner(%Complaint{within: within} = wrong, owner) do
    owner = Enum.join([owner | Enum.map(within, &"option #{inspect(&1)}")], ": ")

    case wrong do
      %{kind: :no_list, got: got} ->
        "#{owner} takes a keyword list of options, got: #{inspect(got)}"

      %{kind: :unknown, schema: schema} ->
        "#{owner}: #{unknown(wrong)}#{Enum.map_join(schema, ", ", &name/1)}"

      %{kind: :twice} ->
        "#{owner}: #{twice(wrong)}"

      %{kind: :required} ->
        "#{owner}: option #{name(wrong)} is required; it takes #{takes(wrong.type)}"

      %{kind: :wrong} ->
        "#{owner}: option #{name(wrong)} takes #{takes(wrong.type)}, #{got(wrong)}"
    end
  end

  @doc "For an error that has the option beside it."
  @spec of_error(t) :: String.t()
  def of_error(%Complaint{} = wrong) do
    case wrong do
      %{kind: :no_list, got: got} -> "the options must be a keyword list, got: #{inspect(got)}"
      %{kind: :unknown, schema: schema} -> unknown(wrong) <> all(Enum.map(schema, &name/1), "and")
      %{kind: :twice} -> twice(wrong)
      %{kind: :required} -> "option #{name(wrong)} is required; it must be #{must_be(wrong.type)}"
      %{kind: :wrong} -> "option #{name(wrong)} must be #{must_be(wrong.type)}, #{got(wrong)}"
    end
  end

  defp must_be({:in, values}), do: values |> Enum.map(&inspect/1) |> all("or")
  defp must_be(type), do: takes(type)

  defp all([one], _), do: one
  defp all(names, word), do: Enum.join(Enum.drop(names, -1), ", ") <> " #{word} " <> List.last(names)

  @doc "In the words of GenStage."
  @spec of_gen_stage(t) :: String.t()
  def of_gen_stage(%Complaint{kind: :wrong, message: message}) when message != nil, do: message

  def of_gen_stage(%Complaint{kind: :wrong} = wrong),
    do: "expected #{name(wrong)} to be #{expected(wrong.type, wrong.got)}, got: #{inspect(wrong.got)}"

  def of_gen_stage(%Complaint{kind: :no_list, got: got}),
    do: "expected options to be a keyword list, got: #{inspect(got)}"

  def of_gen_stage(%Complaint{kind: :required} = wrong),
    do: "expected #{name(wrong)} to be #{takes(wrong.type)}, got: none"

  defp expected({:integer, _, _}, value) when not is_integer(value), do: "an integer"
  defp expected({:integer, least, _}, value) when value < least, do: "equal to or greater than #{least}"
  defp expected({:integer, _, greatest}, _value), do: "equal to or less than #{greatest}"
  defp expected({:count, least, _most}, value), do: expected({:integer, least, :infinity}, value)
  defp expected({:or, _, type}, value), do: expected(type, value)
  defp expected({:in, values}, _value), do: "one of #{inspect(values)}"
  defp expected(type, _value), do: takes(type)

  defp unknown(wrong), do: "unknown option #{name(wrong)}; it takes "
  defp twice(wrong), do: "option #{name(wrong)} is given more than once"

  defp got(%{type: {:secret, _, _}, got: got} = wrong) when is_atom(got) or is_number(got) or is_pid(got),
    do: got(%{wrong | type: :any})

  defp got(%{type: {:secret, _, _}}), do: "got something else, which is not shown as it may be a secret"
  defp got(%{type: {:or, _, {:secret, _, _} = type}} = wrong), do: got(%{wrong | type: type})
  defp got(%{got: got, type: type, message: nil}), do: "got: #{inspect(got)}#{hint(type, got)}"
  defp got(%{got: got, message: message}), do: "got: #{inspect(got)} (#{message})"

  defp name(%Complaint{option: option}), do: inspect(option)
  defp name({option, _spec}), do: inspect(option)

  @doc "What an option of a type takes."
  @spec takes(Options.type()) :: String.t()
  def takes(:any), do: "any term"
  def takes(:boolean), do: "true or false"
  def takes(:atom), do: "an atom"
  def takes(:list), do: "a list"
  def takes(:non_neg_integer), do: "an integer from 0 on"
  def takes(:pos_integer), do: "an integer from 1 on"
  def takes(:counted), do: takes(:pos_integer)
  def takes(:milliseconds), do: "milliseconds or :infinity"
  def takes(:name), do: "an atom, {:global, term} or {:via, registry, term}"
  def takes(:non_empty_string), do: "a string that is not empty"
  def takes(:keyword), do: "a keyword list"
  def takes({:integer, least, :infinity}), do: "an integer from #{least} on"
  def takes({:integer, least, greatest}), do: "an integer from #{least} to #{greatest}"
  def takes({:count, least, _most}), do: takes({:integer, least, :infinity})
  def takes({:in, values}), do: Enum.map_join(values, ", ", &inspect/1)
  # That nothing may be said of it is plain where nothing is the default.
  def takes({:or, nil, type}), do: takes(type)
  def takes({:or, other, type}), do: "#{takes(type)} or #{inspect(other)}"
  def takes({:check, _, takes}), do: takes
  def takes({:cast, _, takes}) when is_function(takes, 0), do: takes.()
  def takes({:secret, _, takes}), do: takes
  def takes({:cast, _, takes}), do: takes
  def takes({:keyword, _}), do: "a keyword list"

  defp hint(:milliseconds, value) when is_integer(value) do
    if value > Options.longest(),
      do: " (more than #{Options.longest()}, the longest that a timer of the VM runs)",
      else: ""
  end

  defp hint(_type, value), do: hint(value)

  @doc "What is said of a value that looks like what is wanted."
  @spec hint(term) :: String.t()
  def hint([_ | _] = value) do
    if not List.improper?(value) and List.ascii_printable?(value),
      do: " (a charlist: write #{inspect(List.to_string(value))})",
      else: ""
  end

  def hint(value) when is_integer(value) do
    if value > Options.most(), do: " (more than #{Options.most()}, as far as it is counted)", else: ""
  end

  def hint(value) when is_binary(value), do: if(String.valid?(value), do: "", else: " (which is no UTF-8)")

  def hint(_value), do: ""
end
