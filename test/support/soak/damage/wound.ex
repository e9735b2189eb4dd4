defmodule Penstock.Soak.Damage.Wound do
  @moduledoc false
  # One piece of damage to a folder: thrown first, then done, so that it can be told in a sentence.

  alias Penstock.Soak.Dice

  @small [
    bit: 15,
    byte: 15,
    zeros: 15,
    noise: 10,
    cut: 15,
    empty: 5,
    extend: 8,
    repeat: 5,
    remove: 10,
    swap: 8,
    older: 10,
    stray_file: 4,
    stray_folder: 4,
    rename: 4
  ]

  @doc """
  Damage to this folder, of which there are older copies, as `{strays, sentence}`: the strays are what a server may
  never touch.
  """
  def throw(folder, older) do
    case files(folder) do
      [] -> raise "nothing to damage in #{folder}"
      files -> throw(Dice.weigh(@small), folder, files, older)
    end
  end

  @doc "All files below a folder, as paths from it."
  def files(folder) do
    folder
    |> Path.join("**")
    |> Path.wildcard(match_dot: true)
    |> Enum.filter(&File.regular?/1)
    |> Enum.map(&Path.relative_to(&1, folder))
    |> Enum.sort()
  end

  # Of every kind of file alike, however many of one there are.
  defp one_of(files) do
    kinds = files |> Enum.group_by(&kind/1) |> Enum.sort()
    {_kind, alike} = Dice.pick(kinds)
    Dice.pick(alike)
  end

  # Files that are numbered are of one kind, any other is one of its own.
  defp kind(file) do
    case Path.extname(file) do
      "" -> file
      extension -> extension
    end
  end

  defp throw(:swap, folder, files, _older) do
    {one, other} = {one_of(files), one_of(files)}
    {left, right} = {read(folder, one), read(folder, other)}
    write(folder, one, right)
    write(folder, other, left)
    {[], "#{one} and #{other} swapped"}
  end

  defp throw(:older, folder, files, older) do
    {file, source} = {one_of(files), Dice.pick(older)}

    case File.read(Path.join(source, file)) do
      {:ok, bytes} -> write(folder, file, bytes)
      {:error, _} -> File.rm!(Path.join(folder, file))
    end

    {[], "#{file} as it was at an earlier time (#{Path.basename(source)})"}
  end

  defp throw(:remove, folder, files, _older) do
    file = one_of(files)
    File.rm!(Path.join(folder, file))
    {[], "#{file} removed"}
  end

  defp throw(:rename, folder, files, _older) do
    file = one_of(files)
    File.rename!(Path.join(folder, file), Path.join(folder, file <> ".old"))
    {[], "#{file} renamed to #{file}.old"}
  end

  defp throw(:stray_file, folder, files, _older) do
    file = Path.join(Path.dirname(Dice.pick(files)), Dice.pick(["notes", "7", "core.4711", "~lock"]))
    write(folder, file, Dice.bytes(Dice.scale(1, 5_000)))
    {[file], "a stray file #{file}"}
  end

  defp throw(:stray_folder, folder, files, _older) do
    file = Path.join(Path.dirname(Dice.pick(files)), Dice.pick(["notes", "8", "lost+found", ".git"]))
    File.mkdir_p!(Path.join(folder, file))
    {[file], "a stray folder #{file}"}
  end

  defp throw(kind, folder, files, _older) do
    file = one_of(files)
    bytes = read(folder, file)
    {changed, what} = change(kind, bytes, used(bytes))
    write(folder, file, changed)
    {[], "#{file} (#{byte_size(bytes)} bytes): #{what}"}
  end

  # Where a file is preallocated, most places of it hold nothing.
  defp used(bytes) do
    case byte_size(String.trim_trailing(bytes, <<0>>)) do
      0 -> byte_size(bytes)
      used -> used
    end
  end

  defp change(:empty, _bytes, _used), do: {"", "emptied"}
  defp change(:extend, bytes, _used), do: extended(bytes, Dice.bytes(Dice.scale(1, 5_000)), "of noise")

  defp change(:repeat, bytes, used) do
    count = Dice.scale(1, max(used, 1))
    extended(bytes, binary_part(bytes, used - min(count, used), min(count, used)), "of its own end")
  end

  # Nothing else can be done to an empty file.
  defp change(_kind, "", _used), do: extended("", Dice.bytes(Dice.scale(1, 5_000)), "of noise")

  defp change(:bit, bytes, used) do
    {at, bit} = {Dice.between(0, used - 1), Dice.between(0, 7)}

    {put(bytes, at, 1, fn <<byte>> -> <<Bitwise.bxor(byte, Bitwise.bsl(1, bit))>> end),
     "bit #{bit} of byte #{at} flipped"}
  end

  defp change(:byte, bytes, used) do
    {at, by} = {Dice.between(0, used - 1), Dice.between(1, 255)}
    {put(bytes, at, 1, fn <<byte>> -> <<rem(byte + by, 256)>> end), "byte #{at} changed"}
  end

  defp change(:zeros, bytes, used), do: range(bytes, used, "zeros", &<<0::size(byte_size(&1))-unit(8)>>)
  defp change(:noise, bytes, used), do: range(bytes, used, "noise", &Dice.bytes(byte_size(&1)))

  defp change(:cut, bytes, used) do
    at = if Dice.chance(50), do: Dice.between(0, used - 1), else: used - Dice.scale(1, used)
    {binary_part(bytes, 0, at), "cut after #{at} bytes"}
  end

  defp range(bytes, used, what, fill) do
    at = Dice.between(0, used - 1)
    length = min(Dice.scale(1, 8_192), byte_size(bytes) - at)
    {put(bytes, at, length, fill), "#{length} bytes of #{what} at #{at}"}
  end

  defp extended(bytes, more, what), do: {bytes <> more, "#{byte_size(more)} bytes #{what} appended"}

  defp put(bytes, at, length, change) do
    {before, later} = :erlang.split_binary(bytes, at)
    {part, rest} = :erlang.split_binary(later, length)
    before <> change.(part) <> rest
  end

  defp read(folder, file), do: File.read!(Path.join(folder, file))
  defp write(folder, file, bytes), do: File.write!(Path.join(folder, file), bytes)
end
