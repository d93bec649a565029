// SPDX-License-Identifier: MIT
pragma solidity 0.8.34;

/// The part of ERC-20 that an exchange uses.
interface IERC20 {
    function approve(address spender, uint256 amount) external returns (bool);
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// The part of the conditional tokens that an exchange uses.
interface IConditionalTokens {
    function safeTransferFrom(address from, address to, uint256 id, uint256 amount, bytes calldata note) external;
    function safeBatchTransferFrom(
        address from,
        address to,
        uint256[] calldata ids,
        uint256[] calldata amounts,
        bytes calldata note
    ) external;
    function splitPosition(
        address collateral,
        bytes32 parentCollectionId,
        bytes32 conditionId,
        uint256[] calldata partition,
        uint256 amount
    ) external;
    function mergePositions(
        address collateral,
        bytes32 parentCollectionId,
        bytes32 conditionId,
        uint256[] calldata partition,
        uint256 amount
    ) external;
}

/// A wallet that is a contract and says itself whether it signed (ERC-1271).
interface IContractWallet {
    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4);
}
