"""The operations of which a classifier's graph may consist: an explicit list; whatever is not on it is never run.

A list of what is forbidden is never complete: TensorFlow has some 1900 operations, and each release adds some. What is
here computes its outputs from its inputs (and, the random ones, from a generator of their own), and nothing else.
"""

from collections.abc import Iterable

from cae_core.errors import ModelError

__all__ = ["READS", "WRITES", "check_operations"]

READS = frozenset({"ReadVariableOp", "ResourceGather", "ResourceGatherNd"})
"""Read a variable through its handle, the first input."""

_WRITES = """
    Assign AssignAdd AssignSub ScatterAdd ScatterSub ScatterUpdate AssignVariableOp AssignAddVariableOp
    AssignSubVariableOp ResourceScatterAdd ResourceScatterSub ResourceScatterUpdate
"""
WRITES = frozenset(_WRITES.split())
"""Change a variable, the first input. They are taken out of a graph before it is run."""

_VALUES = """
    Const Placeholder PlaceholderWithDefault VarHandleOp Variable VariableV2 Identity IdentityN NoOp Snapshot
    StopGradient PreventGradient CheckNumerics CheckNumericsV2 EnsureShape GuaranteeConst Empty Fill Range LinSpace
    OnesLike ZerosLike
"""
_ARITHMETIC = """
    Abs AccumulateNV2 Acos Acosh Add AddN AddV2 Angle ApproximateEqual Asin Asinh Atan Atan2 Atanh BesselI0 BesselI0e
    BesselI1 BesselI1e BesselJ0 BesselJ1 BesselK0 BesselK0e BesselK1 BesselK1e BesselY0 BesselY1 Betainc BitwiseAnd
    BitwiseOr BitwiseXor Cast Ceil ClipByValue Complex ComplexAbs Conj Cos Cosh Cross Dawsn Digamma Div DivNoNan Equal
    Erf Erfc Erfinv Exp Expint Expm1 Floor FloorDiv FloorMod FresnelCos FresnelSin Greater GreaterEqual Igamma Igammac
    Imag Inv Invert IsFinite IsInf IsNan LeftShift Less LessEqual Lgamma Log Log1p LogicalAnd LogicalNot LogicalOr
    Maximum Minimum Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual Polygamma PopulationCount Pow Real RealDiv Reciprocal
    RightShift Rint Round Rsqrt Select SelectV2 Sigmoid Sign Sin Sinh Softplus Softsign Spence Sqrt Square
    SquaredDifference Sub Tan Tanh TruncateDiv TruncateMod Xdivy Xlog1py Xlogy Zeta
"""
_REDUCTIONS = """
    All Any ArgMax ArgMin Bincount Bucketize Cumprod Cumsum CumulativeLogsumexp DenseBincount EuclideanNorm
    HistogramFixedWidth InTopK InTopKV2 L2Loss Max Mean Min NthElement Prod SegmentMax SegmentMaxV2 SegmentMean
    SegmentMin SegmentMinV2 SegmentProd SegmentProdV2 SegmentSum SegmentSumV2 Sum TopK TopKV2 UnsortedSegmentMax
    UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum
"""
_ALGEBRA = """
    BatchMatMul BatchMatMulV2 BatchMatMulV3 Cholesky Diag DiagPart Einsum Eig LogMatrixDeterminant Lu MatMul
    MatrixBandPart MatrixDeterminant MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2
    MatrixDiagV3 MatrixExponential MatrixInverse MatrixLogarithm MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3
    MatrixSolve MatrixSolveLs MatrixSquareRoot MatrixTriangularSolve Qr SelfAdjointEig SelfAdjointEigV2
    SparseTensorDenseMatMul Svd TridiagonalMatMul TridiagonalSolve
    FFT FFT2D FFT3D IFFT IFFT2D IFFT3D RFFT RFFT2D RFFT3D IRFFT IRFFT2D IRFFT3D
"""
_SHAPES = """
    BatchToSpace BatchToSpaceND Bitcast BroadcastArgs BroadcastGradientArgs BroadcastTo Concat ConcatOffset ConcatV2
    ConjugateTranspose DepthToSpace DynamicPartition DynamicStitch ExpandDims Gather GatherNd GatherV2
    InvertPermutation ListDiff LowerBound MirrorPad OneHot Pack Pad PadV2 ParallelConcat ParallelDynamicStitch Rank
    Reshape Reverse ReverseSequence ReverseV2 Roll ScatterNd ScatterNdNonAliasingAdd SearchSorted Shape ShapeN Size
    Slice SpaceToBatch SpaceToBatchND SpaceToDepth SparseToDense Split SplitV Squeeze StridedSlice TensorScatterAdd
    TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate TensorStridedSliceUpdate Tile Transpose
    Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex UpperBound Where
"""
_LAYERS = """
    ApproxTopK AvgPool AvgPool3D BatchNormWithGlobalNormalization BiasAdd BiasAddV1 BlockLSTM BlockLSTMV2 Conv Conv2D
    Conv2DBackpropFilter Conv2DBackpropInput Conv2DBackpropInputV2 Conv3D Conv3DBackpropInput Conv3DBackpropInputV2
    CudnnRNN CudnnRNNV2 CudnnRNNV3 DataFormatDimMap DataFormatVecPermute DepthwiseConv2dNative
    DepthwiseConv2dNativeBackpropInput Dilation2D Elu ExtractImagePatches ExtractVolumePatches FakeQuantWithMinMaxArgs
    FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel FractionalAvgPool FractionalMaxPool FusedBatchNorm
    FusedBatchNormV2 FusedBatchNormV3 FusedPadConv2D FusedResizeAndPadConv2D GRUBlockCell LRN LSTMBlockCell LeakyRelu
    LogSoftmax MaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax Dequantize QuantizeV2 QuantizeAndDequantize
    QuantizeAndDequantizeV2
    QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 Relu Relu6 Selu Softmax SoftmaxCrossEntropyWithLogits
    SparseSoftmaxCrossEntropyWithLogits
"""
_IMAGES = """
    AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation CombinedNonMaxSuppression CropAndResize HSVToRGB
    ImageProjectiveTransformV2 ImageProjectiveTransformV3 NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3
    NonMaxSuppressionV4 NonMaxSuppressionV5 RGBToHSV ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor
    ScaleAndTranslate
"""
_RANDOM = """
    Multinomial ParameterizedTruncatedNormal RandomGamma RandomPoisson RandomPoissonV2 RandomShuffle
    RandomStandardNormal RandomUniform RandomUniformInt TruncatedNormal StatelessMultinomial
    StatelessParameterizedTruncatedNormal StatelessRandomBinomial StatelessRandomGammaV2 StatelessRandomGammaV3
    StatelessRandomGetAlg StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg StatelessRandomNormal
    StatelessRandomNormalV2 StatelessRandomPoisson StatelessRandomUniform StatelessRandomUniformFullInt
    StatelessRandomUniformFullIntV2 StatelessRandomUniformInt StatelessRandomUniformIntV2 StatelessRandomUniformV2
    StatelessShuffle StatelessTruncatedNormal StatelessTruncatedNormalV2 RandomIndexShuffle
"""
"""They are found by asking twice; graphs of TensorFlow 1 hold them in branches that inference does not take."""
_CONTROL = """
    Case Enter Exit If LoopCond Merge NextIteration PartitionedCall StatefulPartitionedCall StatelessCase StatelessIf
    StatelessWhile Switch While
    EmptyTensorList TensorListConcat TensorListConcatLists TensorListConcatV2 TensorListElementShape
    TensorListFromTensor TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack
    TensorListReserve TensorListResize TensorListScatter TensorListScatterIntoExistingList TensorListScatterV2
    TensorListSetItem TensorListSplit TensorListStack
    TensorArrayConcatV3 TensorArrayGatherV3 TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3
    TensorArraySplitV3 TensorArrayV3 TensorArrayWriteV3
"""
_ALLOWED = READS.union(
    *(
        part.split()
        for part in (
            _VALUES,
            _ARITHMETIC,
            _REDUCTIONS,
            _ALGEBRA,
            _SHAPES,
            _LAYERS,
            _IMAGES,
            _RANDOM,
            _CONTROL,
        )
    )
)


def check_operations(found: Iterable[str], *, origin: str) -> None:
    """Refuse a graph that does more than a classifier.

    Args:
        found: names of the operations in the graph and in the functions that it reaches.
        origin: what the model is called in messages.

    Raises:
        ModelError: some are not on the list; it names them.
    """
    foreign = sorted(set(found) - _ALLOWED)
    if foreign:
        named = ", ".join(foreign[:8]) + (" and others" if len(foreign) > 8 else "")
        raise ModelError(
            f"{origin}: the model's graph calls {named}, which is no operation of a classifier: it runs code or "
            "touches files outside of the graph, or may do so; such a model is never run. Export it without them."
        )
